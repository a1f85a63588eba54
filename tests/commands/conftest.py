"""One finished smoke study, made through the command line and shared by the tests."""

import shutil
from pathlib import Path

import pytest

from command import Finished, here, run, smoke_study
from warm_ray import WARM


@pytest.fixture(scope="session")
def finished(embedded: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A finished study of 2 configurations x 2 seeds and its exported models."""
    WARM.down()  # the launch has a cluster of its own
    folder = tmp_path_factory.mktemp("finished")
    root = folder / "runs"
    shutil.copytree(embedded, root)
    study = smoke_study(folder, epochs=4)
    launched = run("study", "launch", study, "--root", root)
    assert launched.code == 0, launched.err + launched.out
    models = folder / "models"
    exported = here("study", "export", "smoke", "--root", root, "--out", models)
    assert exported.code == 0, exported.err
    return Finished(root, study, launched, models)
