"""One finished smoke study, made through the command line and shared by the tests."""

import shutil
from pathlib import Path

import pytest

from command import Finished, run, smoke_study


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage root with the embeddings of the smallest birds, to be copied, not written to."""
    root = tmp_path_factory.mktemp("embedded")
    result = run("embed", "--dataset", "birds-smoke", "--root", root)
    assert result.code == 0, result.err
    return root


@pytest.fixture
def fresh_root(embedded: Path, tmp_path: Path) -> Path:
    """A storage root of the test's own, with the embeddings in it."""
    root = tmp_path / "runs"
    shutil.copytree(embedded, root)
    return root


@pytest.fixture(scope="session")
def finished(embedded: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A finished study of 2 configurations x 2 seeds and its exported models."""
    folder = tmp_path_factory.mktemp("finished")
    root = folder / "runs"
    shutil.copytree(embedded, root)
    study = smoke_study(folder, epochs=4)
    launched = run("study", "launch", study, "--root", root)
    assert launched.code == 0, launched.err + launched.out
    models = folder / "models"
    exported = run("study", "export", "smoke", "--root", root, "--out", models)
    assert exported.code == 0, exported.err
    return Finished(root, study, launched, models)
