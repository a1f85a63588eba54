"""What TensorBoard knows of a study as a whole: HParams' columns and the layout of its charts."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

from cluster.event_file import METRICS, EventFile, chart_layout
from cluster.trial_events import hparams_summary
from qpmstudy.columns import COMPACTNESS
from qpmstudy.config import flatten
from storage.results import config_types, metric_columns
from storage.study import StudySpec

OTHERS = (*COMPACTNESS, "seconds_per_epoch", "qp_objective", "qp_bound", "qp_gap")
"""Metric columns that belong to neither phase."""
TYPES = {bool: api_pb2.DATA_TYPE_BOOL, str: api_pb2.DATA_TYPE_STRING}


def write_study_events(root: Path, spec: StudySpec, held_out: Iterable[str]) -> None:
    """Write a study's own events into its TensorBoard folder, in place of those of before.

    Args:
        root: the folder; trials' runs lie below it.
        spec: the study.
        held_out: splits besides "train" that its stores have.
    """
    for old in root.glob("events.out.tfevents.*"):
        old.unlink()
    experiment = api_pb2.Experiment(
        name=spec.name,
        description=spec.description,
        hparam_infos=_hparams(spec),
        metric_infos=[_metric(name, spec) for name in shown_metrics(spec, held_out)],
    )
    content = plugin_data_pb2.HParamsPluginData(experiment=experiment)
    with closing(EventFile(root)) as events:
        events.add(hparams_summary(metadata.EXPERIMENT_TAG, content))
        events.add(chart_layout(_layout()))


def shown_metrics(spec: StudySpec, held_out: Iterable[str]) -> list[str]:
    """Return every metric of both phases: objectives first, each before the dense model's."""
    known = metric_columns(held_out)
    final = [name for name in known if not name.startswith("dense_")]
    ordered = dict.fromkeys([*spec.objectives, *final])
    pairs = [one for name in ordered for one in (name, f"dense_{name}")]
    return [*(name for name in pairs if name in known), *OTHERS]


def _hparams(spec: StudySpec) -> list[api_pb2.HParamInfo]:
    """Return every value of the configuration, with what the study may set it to."""
    types = config_types()
    infos = []
    for path in flatten(spec.pipeline):
        info = api_pb2.HParamInfo(name=path, type=TYPES.get(types[path], api_pb2.DATA_TYPE_FLOAT64))
        choices: Sequence[object] = spec.choices(path)
        if choices:
            info.domain_discrete.extend(choices)
        else:
            low, high = next((p.low, p.high) for p in spec.parameters if path in p.paths)
            info.domain_interval.min_value, info.domain_interval.max_value = low, high
        infos.append(info)
    return infos


def _metric(name: str, spec: StudySpec) -> api_pb2.MetricInfo:
    plain = name.removeprefix("dense_")
    words = plain.replace("_", " ")
    if plain in spec.objectives:
        words += f" ({spec.objective_split})"
    return api_pb2.MetricInfo(
        name=api_pb2.MetricName(tag=METRICS + name),
        display_name=f"dense: {words}" if plain != name else words,
    )


def _layout() -> dict[str, dict[str, list[str]]]:
    """Return the charts of the tab "custom scalars"; tags are regular expressions there."""
    phases = {"dense": ["diversity"], "finetune": ["diversity", "l1_fm", "l1_fv"]}
    layout = {
        phase: {
            "loss": [f"^{phase}/loss$", f"^{phase}/cross_entropy$"],
            "accuracy": [f"^{phase}/train_accuracy$", f"^{phase}/validation_accuracy$"],
            "other losses": [f"^{phase}/{name}$" for name in losses],
        }
        for phase, losses in phases.items()
    }
    layout["select"] = {
        "objective and bound": ["^select/objective$", "^select/bound$"],
        "gap": ["^select/gap$"],
    }
    return {name: layout[name] for name in ("dense", "select", "finetune")}
