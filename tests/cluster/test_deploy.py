"""The files under cluster/deploy: right by their own schemas, and each with its token."""

import json
import os
import shutil
import subprocess
import sys
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


SRUN = """\
#!/bin/bash
# Of Slurm 22.05 and later: how many cores a step has does not come from SLURM_CPUS_PER_TASK.
while [[ $1 == -* ]]; do [[ $1 == -w ]] && { on=$2; shift; }; shift; done
[[ $* == *hostname* ]] && { echo 127.0.1.1; echo 10.0.0.7 fe80::1; exit; }
echo "$on has ${SRUN_CPUS_PER_TASK:-1}: $*" >> steps
test -s "$RAY_AUTH_TOKEN_PATH" && exec sleep 60
"""
DRIVER = """\
import os, pathlib, sys, time
words = " ".join(sys.argv[1:])
while pathlib.Path("steps").read_text().count("ray start") < 2:
    time.sleep(0.1)
if "status" not in words:
    print(os.environ["RAY_ADDRESS"], os.environ["RAY_AUTH_MODE"], words)
"""


def test_a_slurm_job_starts_ray_on_every_node_with_all_its_cores(tmp_path: Path) -> None:
    """The script itself, with a stand-in for Slurm: what is called where, and what is left."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in (("srun", SRUN), ("scontrol", "#!/bin/bash\nprintf 'n1\\nn2\\n'\n")):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").touch()
    (tmp_path / "cli.py").write_text(DRIVER)
    (tmp_path / "steps").touch()
    environment = {
        "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path / "home"),
        "SLURM_JOB_ID": "70123",
        "SLURM_JOB_NODELIST": "n[1-2]",
        "SLURM_CPUS_PER_TASK": "8",
        "SLURM_GPUS_ON_NODE": "1",
    }
    found = subprocess.run(
        ["bash", DEPLOY / "slurm.sh", "my study.yaml", "/shared/a root"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout == (
        "10.0.0.7:20123 token study launch my study.yaml --root /shared/a root\n"
    )
    head, other = sorted((tmp_path / "steps").read_text().splitlines())
    assert head.startswith("n1 has 8: ray start --head --block --node-ip-address=10.0.0.7")
    assert other.startswith("n2 has 8: bash -c until ray start --block --address=")
    for step in (head, other):
        assert "--num-cpus=8 --num-gpus=1" in step
    assert list((tmp_path / "home" / ".ray").iterdir()) == []  # the token is gone


def test_no_python_lies_here() -> None:
    assert {path.name for path in DEPLOY.iterdir()} == {
        "Dockerfile",
        "README.md",
        "kuberay-rayjob.yaml",
        "ray-cluster.yaml",
        "slurm.sh",
    }
