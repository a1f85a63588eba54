"""Health checks: each is said where it is so, and not where it is not."""

import shutil
from typing import Any

import pytest

from made_rows import Figures, made_results, made_study
from storage.analysis import StudyResults, pareto_result
from storage.health import Finding, findings
from storage.layout import StorageRoot
from storage.probe import Probe, best_probe
from storage.summary import Estimate

GOOD: dict[int, Figures] = {
    trial: {
        "accuracy": [a, a + 0.001, a],
        "plausibility": [p, p, p + 0.001],
        "test_accuracy": [a, a, a],
        "dead_features": [0.0] * 3,
        "n_features": [18.0] * 3,
    }
    for trial, (a, p) in enumerate([(0.6, 0.2), (0.8, 0.3), (0.7, 0.8), (0.4, 0.5)])
}
PROBE = Probe("table1", 0, Estimate(0.5, 0.01))


def said(
    figures: dict[int, Figures] = GOOD, probe: Probe | None = PROBE, **changes: Any
) -> list[Finding]:
    columns = changes.pop("columns", {})
    spec = made_study(**{"seeds": 3, **changes})
    return findings(pareto_result([made_results(spec, figures, **columns)]), probe)


def changed(trial: int, **metrics: list[float | None]) -> dict[int, Figures]:
    return GOOD | {trial: {**GOOD[trial], **metrics}}


def test_a_healthy_study_gives_one_note() -> None:
    assert said() == [
        Finding(
            "note",
            "3 configurations beat the linear probe (table1/0: 50.0 ±1.0) in accuracy; the best "
            "is trial 1 with 80.0",
        )
    ]


@pytest.mark.parametrize(
    ("options", "level", "words"),
    [
        ({"probe": Probe("t", 4, Estimate(0.9, 0.0))}, "warning",
         "no configuration beats the linear probe (t/4: 90.0 ±0.0) in accuracy; the best is "
         "trial 1 with 80.0"),
        ({"probe": None}, "note", "no linear probe on the same embeddings was found"),
        ({"figures": changed(3, plausibility=[0.9, 0.9, 0.9])}, "warning",
         "the best finetune.l1_fm for plausibility lies at the upper bound of its range (3)"),
        ({"figures": changed(2, dead_features=[18.0] * 3)}, "problem",
         "all features are dead in trial 2"),
        ({"figures": changed(2, dead_features=[9.0] * 3)}, "warning",
         "many features are dead in trial 2 (50%)"),
        ({"figures": changed(0, accuracy=[0.9, 0.6, 0.9])}, "warning", "it is open whether"),
        ({"figures": changed(1, test_accuracy=[0.7] * 3)}, "warning",
         "on the test split the front is worse in accuracy by 5.0 on average"),
        ({"columns": {"qp_gap": 0.2}}, "note",
         "12 of 12 runs rest on a selection that ended with a larger gap"),
        ({"columns": {"qp_fallback": "no token\nmore"}}, "warning",
         "in 12 of 12 runs the open solver took over: no token"),
        ({"pipeline": {"finetune": {"l1_fv": 1}}}, "note",
         "l1_fm and l1_fv are the same loss in this configuration (features end in a ReLU and "
         "are pooled by their mean): only their sum matters; finetune.l1_fv is 1 throughout"),
        ({"protocol": "paper"}, "note", "searched on the test split"),
        ({"seeds": 4}, "warning", "s has 12 of 16 runs: launch it again for the rest"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_wrong_is_said(options: dict[str, Any], level: str, words: str) -> None:
    (found,) = [one for one in said(**options) if words in one.text]
    assert found.level == level
    assert not any(words in one.text for one in said())


def test_few_seeds_are_said() -> None:
    two = {
        trial: {name: values[:2] for name, values in figures.items()}
        for trial, figures in GOOD.items()
    }
    assert "2 seeds are few" in str(said(two, seeds=2))
    open_one = two | {0: {**two[0], "accuracy": [0.9, 0.6]}}
    assert "on the front: 2 seeds say little, more would tell" in str(said(open_one, seeds=2))
    one = {t: {name: values[:1] for name, values in f.items()} for t, f in GOOD.items()}
    assert "a configuration with one seed has no spread" in str(said(one, seeds=1))
    alone: dict[int, Figures] = {0: {"accuracy": [0.85], "plausibility": [0.1]}}
    single = made_results(made_study("single", seeds=1), alone)
    both = pareto_result([single, made_results(made_study("double"), open_one)])
    assert "on the front: 1 seed says little, more would tell" in str(findings(both, PROBE))


def test_failures_are_grouped_by_cause_and_come_first() -> None:
    made = made_results(made_study(seeds=3), GOOD)
    causes = {9: "boom.\ntrace", 10: "boom.\nother", 11: "no disk"}
    rows = [
        {**row, "status": "FAIL", "error": causes[i]} if i in causes else row
        for i, row in enumerate(made.rows)
    ]
    rows[0] = {**rows[0], "status": "STOPPED"}
    found = findings(pareto_result([StudyResults(made.spec, rows)]), PROBE)
    assert found[0] == Finding("problem", "3 of 12 runs of s failed: boom (2x); no disk")
    assert Finding(
        "note", "1 of 12 runs of s ended early, as stopped: it does not count as complete"
    ) in found  # fmt: skip


def test_a_bound_that_cannot_be_moved_or_one_of_two_is_no_edge() -> None:
    lower = changed(0, accuracy=[0.9] * 3)  # l1_fm = 0: no weight is less
    assert "bound of its range" not in str(said(lower))
    best = {t: GOOD[t] for t in (0, 2)}
    assert "bound of its range" not in str(
        said(best, space={"finetune.l1_fm": {"values": [1, 2]}, "dense.div": {"values": [0, 1]}})
    )


def test_the_last_step_of_a_range_is_its_edge() -> None:
    """0, 1, 2, 3: the end of the range, 3.5, is no step of it."""
    steps = {"finetune.l1_fm": {"low": 0, "high": 3.5, "step": 1}}
    best = changed(3, plausibility=[0.9] * 3)
    words = "the best finetune.l1_fm for plausibility lies at the upper bound of its range (3)"
    assert words in str(said(best, space=steps))
    assert "bound of its range" not in str(said(space=steps))


def test_no_front_says_why() -> None:
    made = [made_results(made_study(seeds=3), GOOD)]
    strict = pareto_result(made, constraints=["accuracy >= 95%"])
    assert Finding(
        "problem", "no configuration keeps to accuracy >= 0.95: there is no front"
    ) in findings(strict, PROBE)  # fmt: skip
    missing = pareto_result([made_results(made_study(seeds=5), GOOD)])
    assert "no configuration has all its seeds complete" in str(findings(missing, PROBE))


def test_the_best_probe_is_found_in_any_study(inputs: Any, finished: Any) -> None:
    root: StorageRoot = inputs.root
    for one in (inputs, finished):
        path = root.study(one.spec.name).spec
        path.parent.mkdir(exist_ok=True)
        path.write_text(one.spec.model_dump_json())
    rows = {one.spec.name: root.study(one.spec.name).results.rows() for one in (inputs, finished)}
    result = pareto_result([StudyResults(finished.spec, rows["tiny"])])
    probe = best_probe(root, result)
    assert probe is not None
    wanted = max(
        (row for row in rows["inputs"] if row["adapter.depth"] == 0), key=lambda r: r["accuracy"]
    )
    assert (probe.study, probe.trial) == ("inputs", wanted["trial"])
    assert probe.accuracy.mean == wanted["accuracy"]
    elsewhere = [{**row, "fingerprint": "other"} for row in rows["tiny"]]
    (root.path / "damaged").mkdir()
    (root.path / "damaged" / "study.json").write_text('{"name": ')
    assert best_probe(root, result) == probe  # another's damage is no concern of this study
    shutil.rmtree(root.path / "damaged")
    assert best_probe(root, pareto_result([StudyResults(finished.spec, elsewhere)])) is None
