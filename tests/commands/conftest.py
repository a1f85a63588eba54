"""One finished smoke study, made through the command line and shared by the tests."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.session import ray_session
from command import Finished, run, smoke_study


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


@pytest.fixture(scope="module")
def warm_ray() -> Iterator[None]:
    """Keep one cluster for the launches that a module's tests make in this process."""
    with ray_session(verbose=False):
        yield
