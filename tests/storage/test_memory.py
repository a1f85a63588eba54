"""Memory is asked for before it is used."""

from pathlib import Path

import psutil
import pytest

from qpmstudy.errors import DataError
from storage.embeddings import open_store
from storage.layout import StorageRoot
from storage.memory import RESERVE, available_memory, check_memory, needed

GROUP_1 = "sys/fs/cgroup/memory/memory.limit_in_bytes"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_this_machine_says_what_it_has() -> None:
    available = available_memory()
    assert available is not None
    assert 0 < available <= psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("files", "gibibytes"),
    [
        ({}, 8),
        ({"sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/memory.current": "5\n"}, 8),
        (
            {
                "sys/fs/cgroup/memory.max": f"{4 * 2**30}\n",
                "sys/fs/cgroup/memory.current": f"{3 * 2**30}\n",
                "sys/fs/cgroup/memory.stat": f"anon 7\ninactive_file {2**30}\n",
            },
            2,
        ),
        ({GROUP_1: f"{3 * 2**30}\n", GROUP_1.replace("limit", "usage"): f"{2**31}\n"}, 1),
        ({GROUP_1: "9223372036854771712\n", GROUP_1.replace("limit", "usage"): "7\n"}, 8),
    ],
)
def test_the_least_of_machine_and_container_counts(
    files: dict[str, str], gibibytes: int, tmp_path: Path
) -> None:
    machine = {"proc/meminfo": f"MemTotal: 99 kB\nMemAvailable:  {8 * 2**20} kB\n"}
    assert available_memory(write(tmp_path, machine | files)) == gibibytes * 2**30


def test_what_does_not_fit_is_refused_with_the_numbers(birds_root: StorageRoot) -> None:
    path = birds_root.embeddings("birds", "patch-descriptor")
    store = open_store(path, "birds", "patch-descriptor")
    images = len(store.read_without_patches().ids)
    assert needed(store) == images * (256 * 96 * 2 + 96 * 2 + 256)
    whole = needed(store) + RESERVE
    assert "embeddings: 1.9 MiB of the 2.0 GiB of memory" in check_memory([store], whole)
    assert check_memory([store], None) == "embeddings: 1.9 MiB of memory"
    with pytest.raises(
        DataError, match=r"birds by patch-descriptor 1\.9 MiB, and 2\.0 GiB .* 1\.0 GiB are avail"
    ):
        check_memory([store], 2**30)
    with pytest.raises(DataError, match="do not fit"):
        check_memory([store], whole - 1)
