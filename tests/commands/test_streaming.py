"""A study on embeddings that memory does not hold, through the command line."""

from pathlib import Path

import pytest

from command import here, refused, smoke_study
from storage.embeddings import open_store
from storage.layout import StorageRoot
from storage.memory import needed
from storage.reading import chunk_bytes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.usefixtures("warm_ray")]


def test_what_does_not_fit_is_streamed(
    fresh_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("birds-smoke", "patch-descriptor")
    root = StorageRoot(fresh_root)
    store = open_store(root.embeddings(*names), *names)
    study = smoke_study(tmp_path, values="[0]", seeds=1)
    monkeypatch.setenv("QPMSTUDY_MEMORY", "1KiB")
    refused(here("study", "launch", study, "--root", fresh_root), 1, "two chunks each", "1.0 KiB")
    assert not list(root.artifacts.root.rglob("manifest.json"))
    monkeypatch.setenv("QPMSTUDY_MEMORY", f"{needed(store) - 1}B")
    launched = here("study", "launch", study, "--root", fresh_root)
    assert launched.code == 0, launched.err
    assert "do not fit into the" in launched.out
    assert "birds-smoke by patch-descriptor" in launched.out
    assert "streamed from disk, shuffled within windows of" in launched.out
    (dense,) = (root.artifacts.root / "dense").glob("*/*")
    window = root.artifacts.facts("dense", dense.name)["window"]
    assert isinstance(window, int)
    assert 0 < 2 * window * chunk_bytes(store) < needed(store)
