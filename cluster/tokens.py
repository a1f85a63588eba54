"""Gurobi tokens: one for each license that a node can use at the same time.

A token is a custom Ray resource of the node that has the license. A selection that may use
Gurobi holds one; Ray takes it back when the task ends, however it ends.
"""

import ray

from qpmstudy.config import PipelineConfig
from qpmstudy.errors import ConfigError
from qpmstudy.selection.licenses import probe
from storage.study.spec import Resources, StudySpec

TOKEN = "gurobi"
NO_TOKEN = "no node of the cluster offers a Gurobi token"


def local_tokens(spec: StudySpec) -> int:
    """Return how many solves the license of this machine allows at once, if the study has any."""
    solvers = {"auto", "gurobi"} & set(spec.choices("select.solver"))
    return probe().tokens if solvers and "qpm" in spec.choices("select.method") else 0


def tokens_for(stage: str, config: PipelineConfig, resources: Resources) -> float:
    """Return the tokens that a task of `stage` holds: those declared, else one if it may use it."""
    if resources.gurobi is not None:
        return resources.gurobi
    return 1.0 if stage == "select" and _may_use_gurobi(config) else 0.0


def tokens_in_cluster() -> float:
    """Return the tokens of all nodes together, taken or not."""
    return float(ray.cluster_resources().get(TOKEN, 0.0))


def check_tokens(spec: StudySpec, offered: float) -> None:
    """Refuse a study that insists on Gurobi where no token is offered.

    A study that declares `stages: {select: {gurobi: 1}}` waits for a node that offers one.

    Raises:
        ConfigError: selections would fail one after the other.
    """
    if offered or spec.resources("select").gurobi is not None:
        return
    solvers, fallbacks = spec.choices("select.solver"), spec.choices("select.fallback")
    if "gurobi" in solvers and "fail" in fallbacks and "qpm" in spec.choices("select.method"):
        raise ConfigError(
            f"The study asks for select.solver = gurobi, but {NO_TOKEN}. See `python cli.py "
            "license` for what this machine has; start a node that has a license with "
            "--resources='{\"gurobi\": 1}'; or set select.fallback: lagrangian, and the open "
            "solver takes over."
        )


def _may_use_gurobi(config: PipelineConfig) -> bool:
    return config.select.method == "qpm" and config.select.solver in ("auto", "gurobi")
