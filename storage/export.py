"""From a study's best configurations to exported models."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qpmstudy.columns import CERTIFICATE
from qpmstudy.errors import ConfigError, DataError
from qpmstudy.exported import save_model
from qpmstudy.selection.methods import METHODS
from storage.artifacts import ArtifactStore
from storage.layout import StorageRoot
from storage.provenance import code_in_words, made_with
from storage.results import Row, config_types
from storage.study import StudySpec
from storage.summary import summarise

METRICS_SHOWN = ("accuracy", "plausibility", "sid")


def export_study(
    root: StorageRoot, spec: StudySpec, out: Path, trials: tuple[int, ...] = ()
) -> list[Path]:
    """Export one model of each configuration on the front, or of the trials given.

    Of a configuration's seeds the one is taken that does best in the first objective on the
    split the study searches on; the test split takes no part in the choice.

    Returns:
        The folders, named "<study>-trial<number>-seed<seed>".

    Raises:
        ConfigError: a trial has no complete row or selects no features, or a folder exists.
        DataError: the study has no front yet, or a stored stage is missing or damaged.
            Nothing is left in `out` then.
    """
    everything = root.study(spec.name).results.rows()
    front = [c.trial for c in summarise(everything, spec) if c.on_front]
    rows = [row for row in everything if row["status"] == "COMPLETE"]
    wanted = list(dict.fromkeys(trials)) or front
    if not wanted:
        raise DataError(
            f"The study {spec.name!r} has no configuration with all {spec.seeds} seeds complete "
            f"yet. See: python cli.py study status {spec.name}"
        )
    chosen = [_best(rows, spec, trial) for trial in wanted]
    _refuse_dense(chosen, spec)
    folders = [out / f"{spec.name}-trial{row['trial']}-seed{row['seed']}" for row in chosen]
    for folder in folders:  # before the first is written: all of them, or none
        if folder.exists():
            raise ConfigError(
                f"{folder} exists already and exported models are not overwritten: "
                "remove it, or choose another --out."
            )
    written: list[Path] = []
    try:
        for row, folder in zip(chosen, folders, strict=True):
            _export(root.artifacts, spec, row, folder)
            written.append(folder)
    except BaseException:
        for folder in written:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return folders


def _best(rows: list[dict[str, Any]], spec: StudySpec, trial: int) -> dict[str, Any]:
    name, direction = next(iter(spec.objectives.items()))
    mine = [row for row in rows if row["trial"] == trial and row[name] is not None]
    if not mine:
        known = ", ".join(str(number) for number in sorted({row["trial"] for row in rows}))
        raise ConfigError(
            f"Trial {trial} of {spec.name!r} has no complete run; trials with one: {known}."
        )
    sign = 1 if direction == "max" else -1
    return max(mine, key=lambda row: (sign * row[name], -row["seed"]))


def _refuse_dense(chosen: list[dict[str, Any]], spec: StudySpec) -> None:
    """Refuse models in which every class uses every feature: no explanation can show that."""
    dense = [row["trial"] for row in chosen if row["select.method"] == "none"]
    others = [row["trial"] for row in chosen if row["trial"] not in dense]
    if dense:
        remedy = " Export the others: " + " ".join(f"--trial {trial}" for trial in others)
        raise ConfigError(
            f"Trial {', '.join(map(str, dense))} of {spec.name!r} has select.method = none: a "
            "dense model, whose classes use every feature, has no explanation to export."
            + (remedy if others else "")
        )


def _export(artifacts: ArtifactStore, spec: StudySpec, row: Row, folder: Path) -> None:
    tuned = artifacts.read("finetune", row["key.finetune"])
    evaluated = artifacts.read("evaluate", row["key.evaluate"])
    selection = artifacts.read("select", row["key.select"])
    facts: Mapping[str, Any] = evaluated.facts
    selected = selection.tensors["selected"].tolist()
    names: list[str] = facts["class_names"]
    uses = {
        name: [selected[column] for column in weights.nonzero().flatten().tolist()]
        for name, weights in zip(names, evaluated.tensors["weight"], strict=True)
    }
    proven = selection.facts["solver"] is not None
    record = {
        "name": folder.name,
        "shape": tuned.facts["shape"],
        "class_names": names,
        "selected": selected,
        "classes": uses,
        "certificate": {name: selection.facts[name] for name in CERTIFICATE} if proven else None,
        "metrics": facts["metrics"],
        "compactness": facts["compactness"],
        "sid_k": facts["sid_k"],
        "search_split": spec.objective_split,
        "protocol": spec.protocol,
        "dataset": facts["dataset"],
        "embeddings_fingerprint": row["fingerprint"],
        "backbone": facts["backbone"],
        "configuration": {path: row[path] for path in config_types()},
        "study": spec.name,
        "trial": row["trial"],
        "seed": row["seed"],
        "versions": row["versions"],
        "provenance": made_with(row),
    }
    tensors = {
        name: value for name, value in tuned.tensors.items() if name.startswith("classifier.")
    }
    save_model(folder, {**tensors, "peak": evaluated.tensors["peak"]}, record, _card(record, spec))


def _card(record: Mapping[str, Any], spec: StudySpec) -> str:
    """Return the model card: what it is, how good, on what, and how to make it again."""
    method = record["configuration"]["select.method"]
    lines = [
        f"# {record['name']}",
        "",
        f"{METHODS.get(method).title} classifier of {len(record['class_names'])} classes by "
        f"{len(record['selected'])} features, {_a_class(record['classes'])}, {_basis(record)} "
        f"of `{record['dataset']}`.",
        "",
        "| split | " + " | ".join(METRICS_SHOWN) + " |",
        "|---|" + "---|" * len(METRICS_SHOWN),
    ]
    for split, values in record["metrics"].items():
        if split != "train":
            shown = ("-" if values[m] is None else f"{values[m]:.3f}" for m in METRICS_SHOWN)
            lines.append(f"| {split} | " + " | ".join(shown) + " |")
    lines += [
        "",
        f"SID is SID@{record['sid_k']}. The configuration was chosen on the "
        f"{record['search_split']} split"
        + (
            " (protocol: paper), so its test figures are optimistic."
            if spec.protocol == "paper"
            else "; the test split took no part."
        ),
        _selection(method, record["certificate"]),
    ]
    if record["dataset"].startswith("birds"):
        lines.append("Synthetic birds, patch descriptor: no figure is comparable with CUB.")
    lines += [
        "",
        f"Made by trial {record['trial']}, seed {record['seed']} of the study "
        f"`{record['study']}`; its whole configuration is in model.json.",
        "",
        *_repeating(record["provenance"]),
        "",
        f"    python cli.py infer {record['name']} IMAGE --explain OUT",
        "",
    ]
    return "\n".join(lines)


def _repeating(made: Mapping[str, Any]) -> list[str]:
    """Return the card's lines on how to make the model again."""
    devices = sorted({made[name] for name in made if name.startswith("device.")})
    versions = json.loads(made["versions"] or "{}").items()
    lines = [
        f"- code: {code_in_words(made)}",
        f"- command: `{made['command']}`" if made["command"] else "",
        f"- embeddings: {(made['fingerprint'] or '')[:12]}, of weights "
        f"{(made['weights'] or '')[:12]}",
        f"- computed on: {', '.join(devices)}" if devices else "",
        "- versions: " + ", ".join(" ".join(pair) for pair in versions) if versions else "",
    ]
    return [line for line in lines if line]


def _basis(record: Mapping[str, Any]) -> str:
    backbone = f"`{record['backbone']['name']}`"
    if record["configuration"]["adapter.kind"] == "resnet50":
        return f"a ResNet-50 trained end to end on {backbone}"
    return f"on frozen {backbone} embeddings"


def _a_class(classes: Mapping[str, list[int]]) -> str:
    counts = [len(used) for used in classes.values()]
    if min(counts) == max(counts):
        return f"{counts[0]} a class"
    mean = sum(counts) / len(counts)
    return f"{mean:.1f} a class on average ({min(counts)} to {max(counts)})"


def _selection(method: str, certificate: Mapping[str, Any] | None) -> str:
    if certificate is None:
        return f"Selection by {method}, which proves nothing about its answer."
    gap, fallback = certificate["gap"], certificate["fallback"]
    proven = "not bounded" if gap is None else f"{gap:.2%}"
    took_over = f" It took over from another solver: {fallback}" if fallback else ""
    return (
        f"Selection by {certificate['solver']}: objective {certificate['objective']:.4g}, "
        f"proven gap {proven}.{took_over}"
    )
