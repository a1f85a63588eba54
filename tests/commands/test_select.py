"""The selection alone, through the command line."""

from pathlib import Path

import numpy as np
import pytest

from command import refused, run


@pytest.fixture
def features(tmp_path: Path) -> Path:
    """240 images of 6 classes; each class raises 3 of 20 features, one more is dead."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(6), 40)
    values = rng.random((240, 21))
    for label in range(6):
        values[np.ix_(labels == label, [label, label + 6, label + 12])] += 1
    values[:, 20] = 0.5
    path = tmp_path / "features.npz"
    np.savez(path, features=values, labels=labels)
    return path


@pytest.mark.parametrize("method", ["qpm", "sldd", "qsenn"])
def test_a_layer_is_selected_described_and_written(features: Path, method: str) -> None:
    out = features.with_name("layer.npz")
    sizes = ("--features", 12, "--per-class", 2, "--method", method, "--out", out)
    result = run("select", features, *sizes)
    assert result.code == 0, result.err
    assert "12 of 21 features (1 dead)" in result.out
    with np.load(out) as layer:
        assert len(layer["selected"]) == 12
        assert layer["weight"].shape == (6, 12)
        assert (layer["weight"] != 0).sum() <= 12
        if method == "qpm":
            assert (layer["weight"].sum(1) == 2).all()
    assert ("gap" in result.out) == (method == "qpm")


def test_what_is_wrong_with_the_file_or_the_sizes_is_said(features: Path) -> None:
    out = features.with_name("layer.npz")
    refused(run("select", features.with_name("no.npz"), "--features", 3), 1, "no.npz")
    lacking = features.with_name("lacking.npz")
    np.savez(lacking, features=np.zeros((3, 2)))
    refused(run("select", lacking, "--features", 1), 1, "lacks ['labels']")
    refused(run("select", features, "--features", 40, "--out", out), 1, "40 features", "21")
    refused(run("select", features, "--features", 9, "--solver", "gurob"), 2, "Did you mean")
    assert not out.exists()
