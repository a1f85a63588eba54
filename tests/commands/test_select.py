"""The selection alone, through the command line."""

import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.select.selection_instances import factor_features
from command import here, refused, run, start


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
    refused(here("select", features.with_name("no.npz"), "--features", 3), 1, "no.npz")
    lacking = features.with_name("lacking.npz")
    np.savez(lacking, features=np.zeros((3, 2)))
    refused(here("select", lacking, "--features", 1), 1, "lacks ['labels']")
    refused(here("select", features, "--features", 40, "--out", out), 1, "40 features", "21")
    refused(run("select", features, "--features", 9, "--solver", "gurob"), 2, "Did you mean")
    assert not out.exists()
    for sizes in [("--features", 0), ("--features", 3, "--per-class", 0), ("--features", -2)]:
        refused(here("select", features, *sizes, "--out", out), 2, "must be at least 1")
    refused(here("select", features, "--features", 9, "--gap", -1), 2, "gap")
    refused(here("select", features, "--features", 9, "--time-limit", 0), 2, "time_limit")
    assert not out.exists()


def test_objective_and_bound_over_time_are_drawn(features: Path) -> None:
    plot = features.with_name("certificate.png")
    result = here("select", features, "--features", 9, "--per-class", 2, "--plot", plot)
    assert result.code == 0, result.err
    with Image.open(plot) as image:
        assert image.format == "PNG"
    no_proof = features.with_name("none.png")
    result = here("select", features, "--features", 9, "--method", "sldd", "--plot", no_proof)
    assert result.code == 0, result.err
    assert "sldd has no certificate" in result.err
    assert not no_proof.exists()


def test_a_bias_in_the_file_changes_what_is_selected(features: Path) -> None:
    sizes = ("--features", 9, "--per-class", 2, "--gap", 0)
    with np.load(features) as arrays:
        content = dict(arrays)
    for name, bias in (("pushed", np.r_[np.zeros(19), 1e4, 0.0]), ("wrong", np.zeros(4))):
        np.savez(features.with_name(f"{name}.npz"), **content, bias=bias)
    chosen = []
    for name in ("features", "pushed"):
        out = features.with_name(f"{name}-layer.npz")
        result = here("select", features.with_name(f"{name}.npz"), *sizes, "--out", out)
        assert result.code == 0, result.err
        with np.load(out) as layer:
            chosen.append(set(layer["selected"].tolist()))
    assert 19 not in chosen[0]
    assert 19 in chosen[1]
    refused(here("select", features.with_name("wrong.npz"), *sizes), 1, "bias (4,)", "21 features")


def test_what_takes_over_from_a_solver_without_license_is_said(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "gurobi.lic"
    path.write_text("TOKENSERVER=127.0.0.1\nPORT=1\n")  # nothing listens there
    monkeypatch.setenv("GRB_LICENSE_FILE", str(path))
    named = ("--features", 9, "--per-class", 2, "--solver", "gurobi", "--time-limit", 4)
    refused(run("select", features, *named), 1, "no valid Gurobi license")
    result = run("select", features, *named, "--fallback", "lagrangian")
    assert result.code == 0, result.err
    assert result.out.startswith("lagrangian: ")
    assert "not by the solver asked for first: There is no valid Gurobi license" in result.out


def test_ctrl_c_ends_it_soon_and_leaves_nothing(tmp_path: Path) -> None:
    hard, out = tmp_path / "hard.npz", tmp_path / "layer.npz"
    values, labels = factor_features(256, 100, seed=0)
    np.savez(hard, features=values, labels=labels)
    sizes = ("--features", 35, "--gap", 0, "--time-limit", 200, "--solver", "lagrangian")
    begun = start("select", hard, *sizes, "--out", out)
    time.sleep(8)
    assert begun.poll() is None, begun.communicate()
    begun.send_signal(signal.SIGINT)
    _, err = begun.communicate(timeout=30)
    assert begun.returncode == 130, err
    assert "Traceback" not in err
    assert not out.exists()
