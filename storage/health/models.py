"""What the models are worth: against a linear probe, alive or dead, and under which losses."""

import math
from collections.abc import Iterator

import numpy as np

from storage.analysis import ParetoResult
from storage.health.base import Finding, counted, means_of, named
from storage.probe import ACCURACY, Probe
from storage.study import StudySpec

MANY_DEAD = 0.2
"""Share of dead features from which on a configuration is named."""


def probe_findings(result: ParetoResult, probe: Probe | None) -> Iterator[Finding]:
    """Yield how accuracy compares with a linear probe's."""
    if ACCURACY not in result.table.metrics:
        return
    if probe is None:
        yield Finding(
            "note",
            "no linear probe on the same embeddings was found to hold accuracy against: a "
            "study with adapter.depth: 0 and select.method: none has one (studies/table1.yaml)",
        )
        return
    accuracy = probe.accuracy.shown(ACCURACY)
    name = f"the linear probe ({probe.study}/{probe.trial}: {accuracy})"
    means = means_of(result, ACCURACY)
    means[[_is(result, index, probe) for index in range(len(means))]] = math.nan
    if np.isnan(means).all():
        return
    best = int(np.nanargmax(means))
    said = f"{result.label(best)} with {100 * means[best]:.1f}"
    if means[best] <= probe.accuracy.mean:
        yield Finding("warning", f"no configuration beats {name} in accuracy; the best is {said}")
    else:
        count = int((means > probe.accuracy.mean).sum())
        yield Finding(
            "note",
            f"{counted(count, 'configuration')} beat{'s' * (count == 1)} {name} in accuracy; the "
            f"best is {said}",
        )


def _is(result: ParetoResult, index: int, probe: Probe) -> bool:
    member = result.members[index]
    return (member.study, member.trial) == (probe.study, probe.trial)


def dead_findings(result: ParetoResult) -> Iterator[Finding]:
    """Yield which configurations have features that are the same for every image."""
    if not {"dead_features", "n_features"} <= set(result.table.metrics):
        return
    shares = means_of(result, "dead_features") / means_of(result, "n_features")
    dead = [result.label(index) for index in np.flatnonzero(shares >= 1).tolist()]
    if dead:
        yield Finding("problem", f"all features are dead in {named(dead)}")
    many = [
        f"{result.label(index)} ({shares[index]:.0%})"
        for index in np.flatnonzero((shares >= MANY_DEAD) & (shares < 1)).tolist()
    ]
    if many:
        yield Finding("warning", f"many features are dead in {named(many)}")


def loss_findings(spec: StudySpec) -> Iterator[Finding]:
    """Yield whether two losses of a study are one."""
    fixed = spec.pipeline.finetune
    searched = {path for parameter in spec.parameters for path in parameter.paths}
    pair = {"finetune.l1_fm": fixed.l1_fm, "finetune.l1_fv": fixed.l1_fv}
    mine = pair.keys() & searched
    other = pair.keys() - searched
    if spec.pools_by_mean and mine and all(pair[name] > 0 for name in other):
        yield Finding(
            "note",
            "l1_fm and l1_fv are the same loss in this configuration (features end in a ReLU and "
            "are pooled by their mean): only their sum matters"
            + "".join(f"; {name} is {pair[name]:g} throughout" for name in other),
        )
