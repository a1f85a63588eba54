"""From a study's best configurations to exported models."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qpmstudy.errors import ConfigError, DataError
from qpmstudy.exported import refuse_existing, save_model, token_model
from qpmstudy.inference import TokenModel
from qpmstudy.onnx_file import ONNX_FACTS, needed, onnx_file
from storage.example import KeptExample, example_of
from storage.layout import StorageRoot
from storage.model_card import model_card
from storage.model_record import classes, measured, over_seeds
from storage.picking import Pick, picked
from storage.provenance import made_with
from storage.results import Row, config_types
from storage.study import StudySpec


def export_study(
    root: StorageRoot,
    spec: StudySpec,
    out: Path,
    picks: Sequence[str] = ("front",),
    onnx: bool = False,
) -> list[Path]:
    """Export one model of each configuration that `picks` mean (storage/picking.py).

    Of a configuration's seeds the one is taken that does best in the first objective, or in the
    metric of the pick, on the split the study searches on; the test split takes no part in the
    choice.

    Args:
        root: where the study is.
        spec: the study.
        out: folder for the models.
        picks: which configurations.
        onnx: write adapter and head as model.onnx, too.

    Returns:
        The folders, named "<study>-trial<number>-seed<seed>".

    Raises:
        ConfigError: a pick means nothing here, a trial has no complete row or selects no
            features, or a folder exists.
        DataError: the study has no front yet, or a stored stage is missing or damaged.
            Nothing is left in `out` then.
        NotInstalledError: ONNX is asked for and its packages are not installed.
    """
    if onnx:
        needed()
    everything = root.study(spec.name).results.rows()
    rows = [row for row in everything if row["status"] == "COMPLETE"]
    chosen = [(pick, _best(rows, spec, pick)) for pick in picked(everything, spec, picks)]
    _refuse_dense([row for _, row in chosen], spec)
    folders = [out / f"{spec.name}-trial{row['trial']}-seed{row['seed']}" for _, row in chosen]
    for folder in folders:  # before the first is written: all of them, or none
        refuse_existing(folder)
    written: list[Path] = []
    try:
        for (pick, row), folder in zip(chosen, folders, strict=True):
            of_trial = [other for other in rows if other["trial"] == row["trial"]]
            _export(root, spec, row, pick, of_trial, folder, onnx)
            written.append(folder)
    except BaseException:
        for folder in written:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return folders


def _best(rows: list[dict[str, Any]], spec: StudySpec, pick: Pick) -> dict[str, Any]:
    mine = [row for row in rows if row["trial"] == pick.trial and row[pick.metric] is not None]
    if not mine:
        known = ", ".join(str(number) for number in sorted({row["trial"] for row in rows}))
        raise ConfigError(
            f"Trial {pick.trial} of {spec.name!r} has no complete run; trials with one: {known}."
        )
    sign = 1 if pick.direction == "max" else -1
    return max(mine, key=lambda row: (sign * row[pick.metric], -row["seed"]))


def _refuse_dense(chosen: list[dict[str, Any]], spec: StudySpec) -> None:
    """Refuse models in which every class uses every feature: no explanation can show that."""
    dense = [row["trial"] for row in chosen if row["select.method"] == "none"]
    others = [row["trial"] for row in chosen if row["trial"] not in dense]
    if dense:
        remedy = " Export the others: " + " ".join(f"--pick {trial}" for trial in others)
        raise ConfigError(
            f"Trial {', '.join(map(str, dense))} of {spec.name!r} has select.method = none: a "
            "dense model, whose classes use every feature, has no explanation to export."
            + (remedy if others else "")
        )


def _export(
    root: StorageRoot,
    spec: StudySpec,
    row: Row,
    pick: Pick,
    of_trial: Sequence[Row],
    folder: Path,
    onnx: bool,
) -> None:
    tuned = root.artifacts.read("finetune", row["key.finetune"])
    evaluated = root.artifacts.read("evaluate", row["key.evaluate"])
    selection = root.artifacts.read("select", row["key.select"])
    classifier = tuned.classifier()
    kept = example_of(root, evaluated, row["fingerprint"], classifier.adapter.reads_cls)
    record = {
        "name": folder.name,
        "shape": tuned.facts["shape"],
        **classes(evaluated, selection),
        **measured(evaluated),
        "over_seeds": over_seeds(of_trial),
        "search_split": spec.objective_split,
        "protocol": spec.protocol,
        "pick": pick.why,
        "embeddings_fingerprint": row["fingerprint"],
        "configuration": {path: row[path] for path in config_types()},
        "study": spec.name,
        "trial": row["trial"],
        "seed": row["seed"],
        "versions": row["versions"],
        "provenance": made_with(row),
        "example": kept.facts,
        "example_missing": kept.missing or None,
        "onnx": ONNX_FACTS if onnx else None,
    }
    peak = evaluated.tensors["peak"]
    extras = {} if kept.example is None else kept.example.files()
    if onnx:
        extras["model.onnx"] = _onnx(token_model(classifier, peak, record), kept)
    tensors = {
        name: value for name, value in tuned.tensors.items() if name.startswith("classifier.")
    }
    save_model(folder, {**tensors, "peak": peak}, record, model_card(record), extras)


def _onnx(model: TokenModel, kept: KeptExample) -> bytes:
    if kept.example is None:
        raise DataError(
            "model.onnx is checked on the tokens of an image of the dataset, but there is none: "
            f"{kept.missing} Export without --onnx, or where images and embeddings are."
        )
    return onnx_file(model, kept.example.tokens.float()[None])
