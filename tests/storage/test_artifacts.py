"""Stage results: whole or absent, checked when read, whatever happens to their writer."""

import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from qpmstudy.errors import DataError
from qpmstudy.stages import StageOutput
from storage import artifacts
from storage.artifacts import ArtifactStore

KEY = "ab" + "c" * 62
ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "artifacts")


def output(number: float = 0.0) -> StageOutput:
    return StageOutput(
        tensors={
            "floats": torch.arange(6.0).reshape(2, 3) + number,
            "flags": torch.tensor([True, False]),
            "index": torch.tensor([3, 1], dtype=torch.int64),
            "strided": torch.arange(6.0).reshape(2, 3).T,
            "empty": torch.empty(0, dtype=torch.int64),
        },
        facts={"number": number, "nothing": None, "names": ["ä", "b"], "nested": {"x": 1}},
    )


def same(one: StageOutput, other: StageOutput) -> bool:
    return (
        one.facts == other.facts
        and one.tensors.keys() == other.tensors.keys()
        and all(torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors)
        and all(one.tensors[name].dtype == other.tensors[name].dtype for name in one.tensors)
    )


def test_what_is_written_is_read(store: ArtifactStore) -> None:
    assert store.manifest("dense", KEY) is None
    store.write("dense", KEY, output(), 2.5)
    assert same(store.read("dense", KEY), output())
    assert store.facts("dense", KEY) == output().facts
    manifest = store.manifest("dense", KEY)
    assert manifest is not None
    assert (manifest["stage"], manifest["key"], manifest["seconds"]) == ("dense", KEY, 2.5)
    assert store.manifest("select", KEY) is None  # a key counts for its stage alone


@pytest.mark.parametrize("file", ["tensors.safetensors", "facts.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "remove"])
def test_a_damaged_result_is_named_and_counts_as_a_miss(
    store: ArtifactStore, caplog: pytest.LogCaptureFixture, file: str, damage: str
) -> None:
    store.write("dense", KEY, output(), 1.0)
    path = store.path("dense", KEY) / file
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 0x80
    path.write_bytes({"truncate": content[:-3], "empty": b""}.get(damage, content))
    if damage == "remove":
        path.unlink()
    with pytest.raises(DataError, match=rf"{file}.* is (damaged|missing|not valid JSON)"):
        store.read("dense", KEY)
    with caplog.at_level(logging.WARNING):
        assert store.manifest("dense", KEY) is None
    assert file in caplog.text
    assert "computed again" in caplog.text
    assert not store.path("dense", KEY).exists()
    store.write("dense", KEY, output(1), 1.0)
    assert same(store.read("dense", KEY), output(1))


def test_no_flipped_byte_goes_unseen(store: ArtifactStore) -> None:
    store.write("dense", KEY, output(), 1.0)
    for file in artifacts.CONTENT:
        path = store.path("dense", KEY) / file
        whole = path.read_bytes()
        for position in range(0, len(whole), 5):
            broken = bytearray(whole)
            broken[position] ^= 1
            path.write_bytes(broken)
            with pytest.raises(DataError, match=rf"{file} is damaged"):
                store.read("dense", KEY)
        path.write_bytes(whole)
    assert same(store.read("dense", KEY), output())


def test_a_manifest_without_hashes_or_seconds_is_damaged(store: ArtifactStore) -> None:
    for old, new in (('"sha256"', '"sha255"'), ('"seconds"', '"secomds"'), ("facts.", "fakts.")):
        store.write("dense", KEY, output(), 1.0)
        path = store.path("dense", KEY) / "manifest.json"
        path.write_text(path.read_text().replace(old, new))
        assert store.manifest("dense", KEY) is None, old


def test_a_missing_result_says_what_to_do(store: ArtifactStore) -> None:
    with pytest.raises(DataError, match=r"no result of the stage 'dense'.*Launch the study again"):
        store.read("dense", KEY)


def test_a_writer_that_comes_second_changes_nothing(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other writer finishes while this one is in the middle."""
    versions = artifacts.versions

    def overtaken() -> dict[str, str]:
        monkeypatch.setattr(artifacts, "versions", versions)
        store.write("dense", KEY, output(1), 1.0)
        return versions()

    monkeypatch.setattr(artifacts, "versions", overtaken)
    store.write("dense", KEY, output(2), 2.0)
    assert same(store.read("dense", KEY), output(1))
    assert [path.name for path in store.path("dense", KEY).parent.iterdir()] == [KEY]


def test_many_writers_leave_one_whole_result(store: ArtifactStore) -> None:
    barrier = threading.Barrier(4)

    def write(number: int) -> None:
        barrier.wait()
        store.write("dense", KEY, output(number), float(number))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = store.read("dense", KEY)
    manifest = store.manifest("dense", KEY)
    assert manifest is not None
    assert same(found, output(int(str(found.facts["number"]))))
    assert manifest["seconds"] == found.facts["number"]
    assert [path.name for path in store.path("dense", KEY).parent.iterdir()] == [KEY]


def test_a_failed_write_leaves_nothing(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(artifacts, "write_json", broken)
        with pytest.raises(OSError, match="no space left"):
            store.write("dense", KEY, output(), 1.0)
    assert list(store.path("dense", KEY).parent.iterdir()) == []
    store.write("dense", KEY, output(), 1.0)
    assert same(store.read("dense", KEY), output())


def test_nan_facts_are_refused(store: ArtifactStore) -> None:
    facts = StageOutput({"x": torch.zeros(1)}, {"loss": float("nan")})
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.write("dense", KEY, facts, 1.0)
    assert store.manifest("dense", KEY) is None


@pytest.mark.slow
def test_a_killed_writer_leaves_nothing_that_is_read(store: ArtifactStore) -> None:
    """A real process, killed with the tensors written and the manifest not."""
    program = (
        "import os, signal, sys, torch\n"
        "from pathlib import Path\n"
        "from qpmstudy.stages import StageOutput\n"
        "from storage import artifacts\n"
        "def die(*_): os.kill(os.getpid(), signal.SIGKILL)\n"
        "artifacts.versions = die\n"
        "store = artifacts.ArtifactStore(Path(sys.argv[1]))\n"
        f"store.write('dense', {KEY!r}, StageOutput({{'x': torch.ones(9)}}, {{}}), 1.0)\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", program, str(store.root)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=60,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert len(list(store.path("dense", KEY).parent.rglob("*.*"))) > 0  # it had begun
    assert store.manifest("dense", KEY) is None
    with pytest.raises(DataError, match="no result of the stage"):
        store.read("dense", KEY)
    store.write("dense", KEY, output(), 1.0)
    assert same(store.read("dense", KEY), output())
