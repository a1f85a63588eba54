"""An extraction on Ray in a process of its own, which tests kill, and its serial counterpart.

python killed_on_ray.py DATA STORE
"""

import sys
from pathlib import Path

from cluster.embedding import fill_on_ray
from qpmstudy.backbones.opening import open_backbone
from qpmstudy.datasets import open_dataset
from storage import new_store
from storage.embeddings import EmbeddingStore
from storage.extraction import extract
from storage.places import place
from storage.shards import Fill, fill_here

BACKBONE = "patch-descriptor"
ROWS = 4
ROW_BYTES = 256 * 96 * 2


def embedded(data: Path, where: str, fill: Fill = fill_here) -> EmbeddingStore:
    """Embed pictures in shards of four."""
    before = new_store.SHARD_BYTES, new_store.CHUNK_BYTES
    new_store.SHARD_BYTES = new_store.CHUNK_BYTES = ROWS * ROW_BYTES
    try:
        images = open_dataset("folder-killed", data)
        backbone = open_backbone(BACKBONE)
        return extract(images, backbone, place(where), batch=3, workers=0, fill=fill)
    finally:
        new_store.SHARD_BYTES, new_store.CHUNK_BYTES = before


if __name__ == "__main__":
    embedded(Path(sys.argv[1]), sys.argv[2], fill_on_ray(None))
