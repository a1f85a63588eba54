"""From the content of a study file to its specification, or to all that is wrong with it."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from qpmstudy.backbones import check_backbone
from qpmstudy.columns import SPLIT_METRICS, TRAINING_METRICS
from qpmstudy.config import PipelineConfig, flatten
from qpmstudy.contradictions import COMBINED, contradictions
from qpmstudy.datasets import check_dataset
from qpmstudy.errors import ConfigError
from qpmstudy.registry import did_you_mean
from qpmstudy.stage_graph import STAGES
from storage.study.durations import words
from storage.study.space import SpaceEntry, grid
from storage.study.space_problems import (
    entry_problems,
    grid_problems,
    unsized_problems,
    variant_problems,
)
from storage.study.spec import StudySpec
from storage.study.validation import model_of, sentences

_PIPELINE = model_of(PipelineConfig)
_STAND_IN = {"finetune.l1_fm": SpaceEntry(values=(0, 1))}
"""The space of a study whose own is wrong, so that the rest of its file can be looked at."""


def parse_study(content: object, source: str) -> StudySpec:
    """Validate the content of a study file; `source` names it in errors.

    Raises:
        ConfigError: with every rule that is broken, each with its path.
    """
    if not isinstance(content, dict):
        raise ConfigError(
            f"{source} must be a mapping with the keys name, pipeline, space, ..., "
            f"not {type(content).__name__}."
        )
    problems: list[str] = []
    wrong: set[str] = set()
    outer = {key: value for key, value in content.items() if key != "pipeline"}
    try:
        given = content.get("pipeline")
        pipeline = _pipeline({} if given is None else given)
    except ValidationError as error:
        known = (*_PIPELINE.model_fields, *flatten(PipelineConfig()))
        problems += sentences(error, known, prefix="pipeline")
        wrong.add("pipeline")
        pipeline = PipelineConfig()
    try:
        spec = StudySpec.model_validate(outer)
    except ValidationError as error:
        problems += sentences(error, StudySpec.model_fields)
        wrong |= {str(item["loc"][0]) for item in error.errors()}
        spec = _without(outer, wrong)
    strange = _unknown_names(content, "stages", "stage", tuple(STAGES))
    strange += _unknown_names(content, "objectives", "metric", (*SPLIT_METRICS, *TRAINING_METRICS))
    wrong |= {problem.partition(".")[0] for problem in strange}
    unfit = entry_problems(_entries(content.get("space")))
    wrong |= {"space"} if unfit else set()
    problems += strange + unfit
    if spec.protocol == "paper":
        pipeline = replace(pipeline, split=replace(pipeline.split, validation=0.0))
    changed = {"space": _STAND_IN} if "space" in wrong else {}
    spec = spec.model_copy(update={"pipeline": pipeline, **changed})
    problems += _problems(spec, wrong)
    if problems:
        listing = "\n".join(f"  - {problem}" for problem in problems)
        raise ConfigError(f"{source} has {len(problems)} error(s):\n{listing}")
    return spec


def _pipeline(content: object) -> PipelineConfig:
    checked = _PIPELINE.model_validate(content).model_dump()
    return TypeAdapter(PipelineConfig).validate_python(checked)


def _without(content: Mapping[Any, Any], wrong: Iterable[str]) -> StudySpec:
    """Return the specification as if what is wrong had been left out: for the errors of the rest.

    What must be there has a stand-in.
    """
    left_out = set(wrong)
    right = {
        key: value
        for key, value in content.items()
        if isinstance(key, str) and key not in left_out  # others are wrong by themselves
    }
    return StudySpec.model_validate({"name": "unnamed", "space": _STAND_IN} | right)


def _unknown_names(
    content: dict[Any, Any], section: str, kind: str, known: tuple[str, ...]
) -> list[str]:
    given = content.get(section)
    return [
        f"{section}.{name}: there is no such {kind}, only {', '.join(known)}."
        + did_you_mean(str(name), known)
        for name in (given if isinstance(given, dict) else ())
        if name not in known
    ]


def _entries(space: object) -> dict[str, SpaceEntry]:
    """Return the entries of a space that are right by themselves: a wrong one hides no other."""
    found = {}
    for name, entry in space.items() if isinstance(space, dict) else ():
        with suppress(ValidationError):  # which the errors of the whole specification tell
            found[str(name)] = SpaceEntry.model_validate(entry)
    return found


def _problems(spec: StudySpec, wrong: Iterable[str] = ()) -> list[str]:
    """Return what is wrong between values that are each right by themselves.

    Keys of the file that are `wrong` already have stand-ins here: nothing is said of those.
    """
    left_out = set(wrong)
    problems, countable = [], not left_out & {"sampler", "space", "trials"}
    if not left_out & {"pipeline", "space"}:
        problems = variant_problems(spec.space, spec.pipeline)
        if not problems and not spec.searched & COMBINED:
            problems = [f"pipeline: {problem}." for problem in contradictions(spec.pipeline)]
        elif not problems and spec.sampler == "grid" and "sampler" not in left_out:
            problems = grid_problems(spec.space, spec.pipeline)
    if spec.sampler == "grid":
        unsized = unsized_problems(spec.space, spec.pipeline) if countable else []
        problems, countable = problems + unsized, countable and not unsized
    if countable:
        problems += _trials_problems(spec)
    if not left_out & {"name", "sampler", "warm_start"}:
        problems += _warm_start_problems(spec)
    if spec.early_stopping and not left_out & {"objectives", "protocol", "early_stopping"}:
        validated = spec.pipeline.split.validation > 0
        problems += spec.early_stopping.problems(spec.objectives, validated)
    if not left_out & {"pipeline", "space", "stages"}:
        problems += _limit_problems(spec)
    return problems + _name_problems(spec) + _split_problems(spec, "protocol" in left_out)


def _trials_problems(spec: StudySpec) -> list[str]:
    if spec.sampler != "grid":
        missing = f"trials: the sampler {spec.sampler!r} needs a number of trials."
        return [missing] if spec.trials is None else []
    count = len(grid(spec.parameters))
    if spec.trials in (None, count):
        return []
    return [
        f"trials: the grid has {count} configurations (got {spec.trials}). Leave `trials` out, "
        "or choose another sampler."
    ]


def _limit_problems(spec: StudySpec) -> list[str]:
    """Return what is wrong with a time limit of selections, beside that of their solver."""
    limit, solving = spec.resources("select"), spec.most("select.time_limit")
    if limit.limit_seconds > solving or "qpm" not in spec.choices("select.method"):
        return []
    return [
        f"stages.select.time_limit: {limit.time_limit} ends a stage whose solver may take "
        f"{words(solving)} by select.time_limit = {solving:g} (seconds), and which has more to do "
        "than that. Let the stage have more, or the solver less."
    ]


def _name_problems(spec: StudySpec) -> list[str]:
    problems = []
    for kind, position, check in (
        ("embeddings.dataset", 0, check_dataset),
        ("embeddings.backbone", 1, check_backbone),
    ):
        for name in sorted({store[position] for store in spec.stores()}):
            try:
                check(name)
            except ConfigError as error:
                problems.append(f"{kind}: {error}")
    return problems


def _split_problems(spec: StudySpec, protocol_is_wrong: bool) -> list[str]:
    problems = []
    if "split.validation" in spec.searched:
        problems.append(
            "space: split.validation cannot be searched: it decides which images the other "
            "values are judged on."
        )
    validation = spec.pipeline.split.validation
    if spec.protocol == "validation" and validation == 0 and not protocol_is_wrong:
        problems.append(
            "pipeline.split.validation: 0 leaves nothing to search on; hold some out, or "
            "set `protocol: paper` to search on the test split as the paper does."
        )
    return problems


def _warm_start_problems(spec: StudySpec) -> list[str]:
    names, problems = spec.warm_start, []
    if names and spec.sampler in {"grid", "random"}:
        problems.append(
            f"warm_start: the sampler {spec.sampler!r} learns from no results; leave it out, or "
            "choose tpe, nsga2 or gp."
        )
    if spec.name in names:
        problems.append("warm_start: a study goes on from its own results anyway: leave it out.")
    if len(set(names)) < len(names):
        problems.append(f"warm_start: a study stands twice (got {', '.join(names)}).")
    return problems
