"""Embedding a dataset that a person brings, through the command line."""

from pathlib import Path

import numpy as np
import pytest

from command import refused, run
from storage.embeddings import open_store


@pytest.mark.slow
def test_images_in_the_cub_layout_are_embedded_from_their_folder(fresh_root: Path) -> None:
    folder = fresh_root / "_datasets" / "birds-smoke"
    cub = ("embed", "--dataset", "cub2011", "--data", folder, "--root", fresh_root)
    result = run(*cub)
    assert result.code == 0, result.err
    ours = open_store(fresh_root / "_embeddings/birds-smoke/patch-descriptor", "birds-smoke",
                      "patch-descriptor")  # fmt: skip
    theirs = open_store(fresh_root / "_embeddings/cub2011/patch-descriptor", "cub2011",
                        "patch-descriptor")  # fmt: skip
    assert np.array_equal(ours.read_shard(0), theirs.read_shard(0))
    again = run(*cub)
    assert (again.code, "complete" in again.out) == (0, True)
    (folder / "classes.txt").unlink()
    refused(run(*cub), 1, "classes.txt", str(folder))
