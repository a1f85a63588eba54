"""The commands that repeat a study, go on with it, or use what came out of it; and its file."""

import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from qpmstudy.config import PipelineConfig, flatten
from storage.analysis import ParetoResult
from storage.provenance import code_in_words
from storage.study import StudySpec
from storage.study.space import written

USUAL_ROOT = Path("runs")
ALWAYS = ("name", "space", "seeds", "objectives", "sampler")
"""Keys of a study file that are written even where they are as by default."""


def commands(result: ParetoResult, root: Path) -> list[dict[str, str]]:
    """Return commands, each with what it is for; the first is the one that was given, if known."""
    (study,) = result.studies
    name = study.spec.name
    front = [m.trial for m, on in zip(result.members, result.front.on_front, strict=True) if on]
    trial = front[0] if front else result.members[0].trial
    given = Counter(row["command"] for row in study.rows if row.get("command"))
    told = [("Repeat the study, as it was launched", given.most_common(1)[0][0])] if given else []
    told += [
        ("See what of it is done, and what failed", _line(root, "status", name)),
        ("Print the front, and write it as files", _line(root, "pareto", name)),
        ("Export a model of each configuration on the front", _export(root, name)),
        ("Export one configuration", _export(root, name, "--pick", str(trial))),
        ("All that is known of one trial", _line(root, "show", name, str(trial))),
        ("Look at all curves in TensorBoard", _line(root, "tensorboard", name)),
        ("Make this page anew", _line(root, "report", name)),
    ]
    return [{"why": why, "command": command} for why, command in told]


def of_trial(root: Path, name: str) -> list[dict[str, str]]:
    """Return commands about one trial; TRIAL stands for its number."""
    return [
        {"why": "All that is known of it", "command": _line(root, "show", name, "TRIAL")},
        {"why": "Its model", "command": _export(root, name, "--pick", "TRIAL")},
    ]


def code(result: ParetoResult) -> list[str]:
    """Return which code made the rows, most of them first."""
    (study,) = result.studies
    return [words for words, _ in Counter(map(code_in_words, study.rows)).most_common()]


def study_file(spec: StudySpec) -> str:
    """Return a study as YAML that launches it, without what is as by default."""
    usual = StudySpec(name=spec.name, space=spec.space).canonical()
    whole = spec.canonical()
    kept = {key: value for key, value in whole.items() if key in ALWAYS or value != usual[key]}
    kept["space"] = {name: written(entry) for name, entry in whole["space"].items()}
    if "pipeline" in kept:
        kept["pipeline"] = _changed(spec.pipeline)
    text: str = yaml.safe_dump(kept, sort_keys=False, default_flow_style=None, width=100)
    return text


def _changed(pipeline: PipelineConfig) -> dict[str, dict[str, Any]]:
    usual, found = flatten(PipelineConfig()), dict[str, dict[str, Any]]()
    for path, value in flatten(pipeline).items():
        if value != usual[path]:
            section, _, leaf = path.partition(".")
            found.setdefault(section, {})[leaf] = value
    return found


def _line(root: Path, action: str, name: str, *rest: str) -> str:
    words: Sequence[str] = ["python", "cli.py", "study", action, name, *rest]
    return shlex.join([*words, *([] if root == USUAL_ROOT else ["--root", str(root)])])


def _export(root: Path, name: str, *rest: str) -> str:
    return _line(root, "export", name, *rest, "--out", "models/")
