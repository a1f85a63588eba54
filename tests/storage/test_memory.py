"""How much memory there is."""

from pathlib import Path

import psutil
import pytest

from storage.memory import available_memory

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
