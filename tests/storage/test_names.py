"""Whatever names a thing, in a file, a row, a model or a command, leads nowhere else."""

from pathlib import Path

import pytest

from command import here, refused
from qpmstudy.backbones import check_backbone
from qpmstudy.datasets import check_dataset
from qpmstudy.errors import ConfigError, DataError
from storage.layout import StorageRoot
from storage.study import parse_study

BAD = [
    "..",
    ".",
    "",
    "../up",
    "a/../../up",
    "/etc",
    "a/b",
    "a\\b",
    "nul\0",
    "line\n",
    "_artifacts",
    ".hidden",
    "~",
    "x" * 5000,
    "ünï",
]


@pytest.fixture
def root(tmp_path: Path) -> StorageRoot:
    return StorageRoot(tmp_path / "runs")


@pytest.mark.parametrize("name", BAD)
def test_no_name_leaves_the_root(root: StorageRoot, name: str) -> None:
    with pytest.raises(ConfigError, match=r"The study name .* is not allowed"):
        root.study(name)
    for dataset, backbone in ((name, "patch-descriptor"), ("birds", name)):
        with pytest.raises(ConfigError, match="is no name of one"):
            root.embeddings(dataset, backbone)
    with pytest.raises(ConfigError, match="is no name of one"):
        root.dataset(name)
    for key in (name, "a" * 63, "A" * 64, "a" * 64 + "\n", "../" * 22):
        with pytest.raises(DataError, match="is no key of a result"):
            root.artifacts.discard("dense", key)
    for given in (name, f"folder-{name}"):
        with pytest.raises(ConfigError, match="dataset"):
            check_dataset(given)
    with pytest.raises(ConfigError, match="backbone"):
        check_backbone(name)
    assert not root.path.exists()


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("place", ["name", "warm_start", "embeddings.dataset", "stages"])
def test_no_name_in_a_study_file_does(name: str, place: str) -> None:
    content = {"name": "a", "space": {"finetune.l1_fm": {"low": 0, "high": 1}}}
    content |= {"sampler": "tpe", "trials": 2}
    given = {
        "name": {"name": name},
        "warm_start": {"warm_start": [name]},
        "embeddings.dataset": {"pipeline": {"embeddings": {"dataset": name}}},
        "stages": {"stages": {name: {"cpu": 1}}},
    }[place]
    with pytest.raises(ConfigError, match=place.replace(".", r"\.")):
        parse_study(content | given, "x")


@pytest.mark.parametrize("name", [name for name in BAD if "\0" not in name])
@pytest.mark.parametrize("command", ["status", "pareto", "export", "table", "show", "cancel"])
def test_no_name_on_a_command_line_does(tmp_path: Path, name: str, command: str) -> None:
    result = here("study", command, "--root", tmp_path / "runs", "--", name)
    refused(result, 2, "The study name")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("trial", ["-1", "../0", "0/../1", "1e3"])
def test_a_trial_is_a_number(tmp_path: Path, trial: str) -> None:
    result = here("study", "show", "--root", tmp_path, "--", "smoke", trial)
    assert result.code == 2
    assert "Traceback" not in result.err
    assert list(tmp_path.iterdir()) == []


def test_real_names_are_names(root: StorageRoot) -> None:
    name = "dinov2-vitb14-reg@layer=11,norm=no,size=448,precision=bfloat16"
    check_backbone(name)
    assert root.embeddings("folder-my.birds_2", name) == root.path.joinpath(
        "_embeddings", "folder-my.birds_2", name
    )
