"""What a launch would do is told before it does it: counted for grids, bounded for samplers."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from cluster.forecast_table import forecast_view
from qpmstudy.errors import ConfigError
from qpmstudy.files import write_json
from qpmstudy.stage_graph import STAGES
from storage.forecast import Forecast, forecast, forecast_json
from storage.history import ANY, SAME, SAME_DATA
from storage.layout import StorageRoot
from storage.results import schema
from storage.study import StudySpec, parse_study


@pytest.fixture
def timed(own_copy: Any) -> Any:
    """The finished study with seconds in its rows, as a launch leaves it."""
    folder = own_copy.root.study("tiny")
    write_json(folder.spec, own_copy.spec.canonical())
    for row in folder.results.rows():
        seconds = {f"seconds.{stage}": 2.0 for stage in STAGES} | {"seconds.finetune": 6.0}
        folder.results.commit(row | seconds, schema(("test", "shift")))
    return own_copy


def like(timed: Any, name: str = "next", **changes: Any) -> StudySpec:
    return parse_study(timed.spec.canonical() | {"name": name} | changes, name)


def counts(found: Forecast) -> dict[str, tuple[int, int, int]]:
    return {one.stage: (one.distinct, one.stored, one.compute) for one in found.stages}


def test_a_finished_study_has_nothing_to_do(timed: Any) -> None:
    found = forecast(timed.spec, timed.root)
    assert (found.done, found.runs, found.stages, found.seconds) == (4, 0, (), 0)


def test_a_grid_is_counted_with_what_is_stored(timed: Any) -> None:
    """One more value and seed: dense stages of two seeds are there, of the third not."""
    study = like(timed, space={"finetune.l1_fm": {"values": [0, 4, 8]}}, seeds=3)
    found = forecast(study, timed.root)
    assert (found.done, found.runs, found.exact) == (0, 9, True)
    assert counts(found) == {
        "dense": (3, 2, 1),
        "evaluate_dense": (3, 2, 1),
        "select": (3, 2, 1),
        "finetune": (9, 4, 5),
        "evaluate": (9, 4, 5),
    }
    costs = {one.stage: one.seconds for one in found.stages}
    assert costs == {"dense": 2, "evaluate_dense": 2, "select": 2, "finetune": 30, "evaluate": 10}
    assert found.seconds == 46
    bases = {one.stage: one.basis for one in found.stages}
    assert bases["dense"] == f"2 s each, from 2 with {SAME}"
    assert bases["finetune"] == f"6 s each, from 4 with {SAME_DATA}"
    assert forecast_json(found)["stages"][0]["compute"] == 1


def test_runs_that_have_a_row_are_not_counted(timed: Any) -> None:
    timed.root.study("tiny").results.path(1, 0).unlink()
    found = forecast(timed.spec, timed.root)
    assert (found.done, found.runs) == (3, 1)
    assert set(counts(found).values()) == {(1, 1, 0)}


def test_times_grow_with_the_epochs(timed: Any) -> None:
    pipeline = timed.spec.canonical()["pipeline"]
    pipeline["finetune"]["epochs"] *= 10
    found = forecast(like(timed, pipeline=pipeline), timed.root)
    costs = {one.stage: one.seconds for one in found.stages}
    assert costs["finetune"] == 4 * 60


def test_a_stage_that_takes_longer_than_its_time_limit_is_named(timed: Any) -> None:
    limits = {"dense": {"time_limit": "3s"}, "finetune": {"time_limit": "5s"}}
    longer = {"finetune.l1_fm": {"values": [0, 4, 8]}}
    found = forecast(like(timed, space=longer, seeds=3, stages=limits), timed.root)
    (line,) = found.late
    assert line == (
        "finetune would be ended at its time limit of 5s, as it takes 6 s on average: raise "
        "stages.finetune.time_limit"
    )
    assert line in str(forecast_view(found).renderables[-1])
    assert forecast(like(timed, stages=limits), timed.root).late == ()  # nothing to compute


@pytest.mark.parametrize("sampler", ["random", "tpe", "nsga2"])
def test_a_sampler_is_bounded_by_what_a_stage_depends_on(timed: Any, sampler: str) -> None:
    space = {"finetune.l1_fm": {"low": 0, "high": 9}, "select.per_class": {"values": [1, 2, 3]}}
    study = like(timed, space=space, sampler=sampler, trials=50)
    found = forecast(study, timed.root)
    assert (found.exact, found.runs) == (False, 100)
    assert counts(found) == {
        "dense": (2, 2, 0),  # no parameter reaches it: known
        "evaluate_dense": (2, 2, 0),
        "select": (6, 2, 4),  # three values, one of which is stored
        "finetune": (100, 0, 100),  # a range: every trial may be another
        "evaluate": (100, 0, 100),
    }


def test_a_bound_counts_what_is_stored_only_as_far_as_it_must_help(timed: Any) -> None:
    """Five trials of four values, two of them stored: the two others may both be drawn."""
    space = {"finetune.l1_fm": {"values": [0, 4, 8, 9]}}
    study = like(timed, space=space, sampler="random", trials=5)
    assert counts(forecast(study, timed.root))["finetune"] == (8, 4, 4)
    study = like(timed, space=space, sampler="random", trials=1)
    assert counts(forecast(study, timed.root))["finetune"] == (2, 4, 2)


def test_without_embeddings_or_history_it_says_so(timed: Any, tmp_path: Path) -> None:
    empty = StorageRoot(tmp_path / "empty")
    found = forecast(timed.spec, empty)
    (store,) = found.stores
    assert "There are no embeddings" in (store.problem or "")
    assert (store.bytes, store.made_by_launch) == (None, True)
    assert counts(found)["finetune"] == (4, 0, 4)
    assert found.seconds is None
    assert "no history" in found.stages[0].basis
    assert not empty.path.exists()  # nothing was written
    shutil.rmtree(timed.root.path / "_embeddings")
    found = forecast(like(timed), timed.root)  # the history of other data is better than none
    assert {one.stored for one in found.stages} == {0}
    assert f"from 4 with {ANY}" in found.stages[3].basis


def test_the_command_that_makes_embeddings_stands_alone(timed: Any, tmp_path: Path) -> None:
    """Whatever else is said of missing ones, such as the name of a dataset that is there."""
    root = StorageRoot(tmp_path / "empty")
    write_json(root.path / "_embeddings" / "birds-full" / "patch-descriptor" / "zarr.json", {})
    found = forecast(timed.spec, root)
    assert "Did you mean 'birds-full'?" in (found.stores[0].problem or "")
    said = str(forecast_view(found).renderables[-1])
    command = "python cli.py embed --dataset birds --backbone patch-descriptor"
    assert f"the launch makes them, or before it: {command}\n" in f"{said}\n"


def test_memory_is_that_of_the_embeddings(timed: Any) -> None:
    (store,) = forecast(timed.spec, timed.root).stores
    assert store.problem is None
    assert store.bytes is not None
    assert store.bytes > 40 * 256 * 96 * 2  # patches in half precision


def test_what_a_launch_would_refuse_is_refused(timed: Any) -> None:
    with pytest.raises(ConfigError, match="launched before with other content"):
        forecast(like(timed, timed.spec.name, objectives={"accuracy": "max"}), timed.root)


def test_more_of_a_study_is_said_to_be_more(timed: Any) -> None:
    assert not forecast(timed.spec, timed.root).extends
    found = forecast(like(timed, timed.spec.name, seeds=3), timed.root)
    assert (found.extends, found.done, found.runs) == (True, 4, 2)
    assert "--extend" in str(forecast_view(found).renderables[0])


def test_values_of_a_grid_that_were_added_later_are_found_again(timed: Any) -> None:
    """They were dealt after the others, wherever they stand in the file."""
    larger = like(timed, timed.spec.name, space={"finetune.l1_fm": {"values": [8, 4, 0]}})
    found = forecast(larger, timed.root)
    assert (found.done, found.runs, counts(found)["finetune"]) == (4, 2, (2, 0, 2))


def test_a_condition_of_another_stage_hides_no_value_from_a_bound(timed: Any) -> None:
    space = {
        "finetune.standardise": {"values": [True, False]},
        "dense.lr": {"values": [0.1, 0.2, 0.3], "when": {"finetune.standardise": True}},
    }
    study = like(timed, space=space, sampler="random", trials=50)
    assert counts(forecast(study, timed.root))["dense"] == (8, 2, 6)


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": {"min": 2, "max": 5}},
        {"early_stopping": {"rungs": [{"after": "evaluate_dense"}]}},
    ],
)
def test_where_results_decide_counts_are_bounds(timed: Any, changes: dict[str, Any]) -> None:
    found = forecast(like(timed, **changes), timed.root)
    assert not found.exact
    assert "decided by their results" in str(forecast_view(found).renderables[0])
