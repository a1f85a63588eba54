"""What a configuration is worth and costs: a recorded study, and made ones of other cost shares.

Every landscape has three parameters that the dense model depends on, in levels, so that dense
models can be shared, and one or two continuous ones of fine-tuning.
"""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from scipy.interpolate import RegularGridInterpolator

RECORDED = Path(__file__).with_name("recorded_pareto.csv")
"""studies/pareto.yaml as it was run on two busy cores: means of three seeds, medians of seconds."""

Chosen = Mapping[str, Any]


@dataclass(frozen=True)
class Landscape:
    """One question that a study asks.

    Attributes:
        space: as in a study file.
        dense: the parameters of it that the dense model depends on, in order.
        objectives: both to be maximised, without noise.
        seconds: that a stage takes.
        noise: standard deviation of a run's objectives around them.
        reference: point that hypervolume is measured from.
    """

    name: str
    space: Mapping[str, Mapping[str, Any]]
    dense: tuple[str, ...]
    objectives: Callable[[Chosen], tuple[float, float]]
    seconds: Callable[[str, Chosen], float]
    noise: float
    reference: tuple[float, float]

    def levels(self, name: str) -> tuple[Any, ...]:
        """Return the values of a parameter of the dense model."""
        return tuple(self.space[name]["values"])

    def dense_key(self, chosen: Chosen) -> tuple[Any, ...] | None:
        """Return what identifies the dense model; None while a value is open."""
        if any(name not in chosen for name in self.dense):
            return None
        return tuple(chosen[name] for name in self.dense)


def recorded() -> Landscape:
    """Return the recorded study, interpolated linearly between its 40 configurations.

    Levels between those that were run make 45 dense models of 8; depth, hidden and diversity take
    part with their own cost.
    """
    with RECORDED.open() as file:
        rows = [{name: float(text) for name, text in row.items()} for row in csv.DictReader(file)]
    names = ("depth", "hidden", "div", "l1_fm")
    axes = [sorted({row[name] for row in rows}) for name in names]
    at = {tuple(row[name] for name in names): row for row in rows}

    def table(column: str) -> RegularGridInterpolator:
        values = [at[point][column] for point in product(*axes)]
        return RegularGridInterpolator(axes, np.reshape(values, [len(axis) for axis in axes]))

    columns = ("accuracy", "plausibility", "dense", "select", "finetune", "evaluate")
    tables = {name: table(name) for name in columns}
    paths = ("adapter.depth", "adapter.hidden", "dense.div", "finetune.l1_fm")

    def value(column: str, chosen: Chosen) -> float:
        return float(tables[column]([[float(chosen[path]) for path in paths]])[0])

    return Landscape(
        "recorded (studies/pareto.yaml)",
        {
            "adapter.depth": {"values": [2, 3, 4]},
            "adapter.hidden": {"values": [32, 48, 64]},
            "dense.div": {"values": [0.2, 0.4, 0.6, 0.8, 1.0]},
            "finetune.l1_fm": {"low": 1.0, "high": 8.0},
        },
        paths[:3],
        lambda chosen: (value("accuracy", chosen), value("plausibility", chosen)),
        value,
        noise=0.01,
        reference=(0.55, 0.65),
    )


def made(name: str, shares: Mapping[str, float], seed: int) -> Landscape:
    """Return a random smooth landscape whose stages take these seconds.

    Each objective is a sum of 60 random waves over the unit cube of all parameters, and the last
    parameter buys the second objective with the first, as L1 does.
    """
    draw = np.random.default_rng(seed)
    depth = [1, 2, 3, 4]
    hidden, div = [16, 32, 48, 64], [0.25, 0.5, 0.75, 1.0]
    waves = draw.normal(0, 2.0, (2, 60, 5))
    phases, heights = draw.uniform(0, 2 * np.pi, (2, 60)), draw.normal(0, 60**-0.5, (2, 60))

    def place(chosen: Chosen) -> np.ndarray:
        return np.array(
            [
                depth.index(chosen["adapter.depth"]) / 3,
                hidden.index(chosen["adapter.hidden"]) / 3,
                div.index(chosen["dense.div"]) / 3,
                (np.log10(chosen["finetune.lr"]) + 3) / 2,
                chosen["finetune.l1_fm"] / 8,
            ]
        )

    def objectives(chosen: Chosen) -> tuple[float, float]:
        at = place(chosen)
        first, second = (heights * np.sin(waves @ at + phases)).sum(1)
        return float(first - at[-1] ** 2), float(second + at[-1])

    return Landscape(
        name,
        {
            "adapter.depth": {"values": depth},
            "adapter.hidden": {"values": hidden},
            "dense.div": {"values": div},
            "finetune.lr": {"low": 1e-3, "high": 1e-1, "log": True},
            "finetune.l1_fm": {"low": 0.0, "high": 8.0},
        },
        ("adapter.depth", "adapter.hidden", "dense.div"),
        objectives,
        lambda stage, chosen: shares[stage],
        noise=0.1,
        reference=(-2.5, -1.5),
    )


COSTS = {
    "made, dense 70 %": {"dense": 70.0, "select": 5.0, "finetune": 20.0, "evaluate": 5.0},
    "made, dense 45 %": {"dense": 45.0, "select": 10.0, "finetune": 40.0, "evaluate": 5.0},
    "made, dense 20 %": {"dense": 20.0, "select": 5.0, "finetune": 70.0, "evaluate": 5.0},
}


def landscape(name: str, seed: int) -> Landscape:
    """Return a landscape; the made ones differ from seed to seed."""
    return made(name, COSTS[name], seed) if name in COSTS else recorded()


NAMES = ("recorded", *COSTS)
