"""What tasks of a node share, measured: the pages that each of them maps."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.session import ray_session
from cluster.shared_embeddings import SharedEmbeddings, share

# After cluster.session, which sets what ray reads when it is imported.
import ray  # isort: skip

from qpmstudy.embeddings import Embeddings
from random_store import random_store
from storage.embeddings import EmbeddingStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@ray.remote(num_cpus=0.5)
class Holder:
    """A task that holds the embeddings, as a stage does."""

    def __init__(self) -> None:
        self.embeddings: Embeddings | None = None

    def hold(self, shared: SharedEmbeddings) -> float:
        """Get them and read every byte."""
        self.embeddings = shared.get()
        index = np.arange(len(self.embeddings.labels))
        parts = (self.embeddings.tokens(index[i : i + 4]) for i in range(0, len(index), 4))
        return float(sum(part.astype(np.float32).sum() for part in parts))

    def mapped(self) -> dict[str, int]:
        """Return bytes by the names that the kernel has for them."""
        lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
        return {line.split(":")[0]: 1024 * int(line.split()[1]) for line in lines}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingStore:
    """256 images of 384 KiB."""
    path = tmp_path_factory.mktemp("root") / "noise" / "noise"
    return random_store(path, images=256, side=16, dim=768)


@pytest.fixture
def holders() -> Iterator[list[Any]]:
    with ray_session(verbose=False):
        yield [Holder.remote() for _ in range(2)]


def ask(holders: list[Any], method: str, *arguments: object) -> list[Any]:
    calls = [getattr(holder, method).remote(*arguments) for holder in holders]
    answers: list[Any] = ray.get(calls, timeout=120)
    return answers


def test_two_tasks_share_one_copy(store: EmbeddingStore, holders: list[Any]) -> None:
    """Or none, of a store that is streamed."""
    size = store.patches.nbytes
    new = ask(holders, "mapped")
    streamed = ask(holders, "hold", share(store.path, "noise", "noise", window=8))
    before = ask(holders, "mapped")
    shared = ask(holders, "hold", share(store.path, "noise", "noise"))
    after = ask(holders, "mapped")
    resident = [now["Rss"] - then["Rss"] for then, now in zip(before, after, strict=True)]
    proportional = [now["Pss"] - then["Pss"] for then, now in zip(before, after, strict=True)]
    print(f"store of {size}: resident {resident}, proportional {proportional}")
    assert len({*streamed, *shared}) == 1  # all have read the same
    assert min(resident) > 0.95 * size  # each has all of it before its eyes
    assert sum(proportional) < 1.1 * size
    for then, now in zip(new, before, strict=True):
        assert now["Rss"] - then["Rss"] < 0.5 * size
