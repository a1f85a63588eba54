"""The files under cluster/deploy: right by their own schemas, and each with its token."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import yaml

from storage.artifacts import versions

DEPLOY = Path(__file__).parents[2] / "cluster" / "deploy"
RAY_SCHEMA = Path(ray.__file__).parent / "autoscaler" / "ray-schema.json"


def read(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def test_ray_up_takes_its_file() -> None:
    config = read("ray-cluster.yaml")
    jsonschema.validate(config, json.loads(RAY_SCHEMA.read_text()))
    assert "~/.ray/auth_token" in config["file_mounts"]
    starts = [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]
    starts = [line for line in starts if "ray start" in line]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token" in line for line in starts)
    assert config["available_node_types"][config["head_node_type"]]["resources"]["CPU"] == 0
    assert sum("gurobi" in node["resources"] for node in config["available_node_types"].values())


def test_every_pod_of_kuberay_has_token_image_and_root() -> None:
    job = read("kuberay-rayjob.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["rayVersion"] == ray.__version__
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    root = job["spec"]["entrypoint"].split("--root ")[1]
    for group in groups:
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert root in [mount["mountPath"] for mount in container["volumeMounts"]]
        named = {volume["name"] for volume in pod["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == named
        assert container["image"].endswith(f"qpmstudy:{versions()['qpmstudy']}")
    (offered,) = [
        g["rayStartParams"]["resources"] for g in groups if "resources" in g["rayStartParams"]
    ]
    assert json.loads(json.loads(offered)) == {"gurobi": 2}


def test_the_image_has_the_ray_that_was_tested() -> None:
    assert f"FROM rayproject/ray:{ray.__version__}-py311" in (DEPLOY / "Dockerfile").read_text()


def test_the_slurm_script_is_sound() -> None:
    script = DEPLOY / "slurm.sh"
    text = script.read_text(encoding="utf-8")
    assert "RAY_AUTH_MODE=token" in text
    assert text.index("umask 077") < text.index('> "$RAY_AUTH_TOKEN_PATH"')
    subprocess.run(["bash", "-n", script], check=True, timeout=20)
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed (pip install -e '.[dev]')")
    found = subprocess.run(
        ["shellcheck", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert found.returncode == 0, found.stdout


def test_a_slurm_job_without_arguments_says_how_it_is_called(tmp_path: Path) -> None:
    found = subprocess.run(
        ["bash", DEPLOY / "slurm.sh"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert found.returncode != 0
    assert "sbatch cluster/deploy/slurm.sh FILE ROOT" in found.stderr


def test_no_python_lies_here() -> None:
    assert {path.name for path in DEPLOY.iterdir()} == {
        "Dockerfile",
        "README.md",
        "kuberay-rayjob.yaml",
        "ray-cluster.yaml",
        "slurm.sh",
    }
