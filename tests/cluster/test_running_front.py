"""The front as a study goes on is the front of all that were entered, whatever their order."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cluster.running_front import RunningFront
from qpmstudy.pareto import non_dominated
from storage.study import parse_study
from storage.summary import Configuration, Estimate

SPEC = parse_study(
    {
        "name": "front",
        "space": {"finetune.l1_fm": {"values": [0, 1]}},
        "seeds": 2,
        "objectives": {"accuracy": "max", "dead_features": "min"},
    },
    "front.yaml",
)


def configuration(trial: int, accuracy: float, dead: float, seeds: int) -> Configuration:
    means = {"accuracy": accuracy, "dead_features": dead}
    estimates = {name: Estimate(mean, 0.01) for name, mean in means.items()}
    return Configuration(trial, {}, seeds, 2 - seeds, estimates, False, ())


POINTS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4), st.sampled_from([1, 2, 2, 2])), max_size=12
)


@given(POINTS)
def test_it_is_the_front_of_those_with_all_their_seeds(points: list[tuple[int, int, int]]) -> None:
    found = RunningFront(SPEC, [])
    for trial, point in enumerate(points):
        entered = found.enter(configuration(trial, *map(float, point[:2]), point[2]))
        assert entered.on_front == (trial in {member.trial for member in found.members})
    whole = [(trial, point) for trial, point in enumerate(points) if point[2] == 2]
    values = np.array([point[:2] for _, point in whole], dtype=float).reshape(-1, 2)
    on_front = non_dominated(values, [True, False])
    expected = {trial for (trial, _), chosen in zip(whole, on_front, strict=True) if chosen}
    assert {member.trial for member in found.members} == expected


def test_a_trial_that_is_entered_again_is_judged_anew() -> None:
    found = RunningFront(SPEC, [configuration(0, 0.5, 9, 2), configuration(1, 0.6, 9, 2)])
    assert [member.trial for member in found.members] == [1]
    found.enter(configuration(1, 0.4, 9, 2))
    assert [member.trial for member in found.members] == [0]


def test_what_is_no_number_is_on_no_front() -> None:
    found = RunningFront(SPEC, [configuration(0, float("nan"), 0, 2)])
    assert not found.members
