"""A training on a store, told how much memory to take for it; prints how much it took at most.

python streamed_training.py STORE BYTES
"""

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from qpmstudy.config import PipelineConfig, with_values
from qpmstudy.embeddings import Embeddings
from qpmstudy.pipeline import run_stage
from storage.embeddings import open_store
from storage.reading import plan_reading, streamed_chunks

CONFIG = with_values(
    PipelineConfig(),
    {
        "adapter.depth": 1,
        "adapter.hidden": 8,
        "adapter.features": 8,
        "dense.epochs": 1,
        "dense.batch": 8,
    },
)
STATUS = Path("/proc/self/status")


def memory(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", STATUS.read_text(encoding="ascii"))
    assert found
    return 1024 * int(found[1])


def train(embeddings: Embeddings) -> list[dict[str, float]]:
    history = run_stage("dense", CONFIG, embeddings, {}, seed=0).facts["history"]
    assert isinstance(history, list)
    return history


if __name__ == "__main__":
    torch.set_num_threads(1)
    store = open_store(Path(sys.argv[1]), "noise", "noise")
    light = store.read_without_patches()
    nothing = np.broadcast_to(np.float16(0), store.patches.shape)  # of the same shape, no memory
    train(replace(light, patches=[nothing]))
    usual = memory("VmHWM")
    window = plan_reading([store], int(sys.argv[2])).window(store)
    assert window is not None
    history = train(replace(light, patches=streamed_chunks(store, window)))
    print(memory("VmHWM") - usual, window, history[-1]["loss"])
