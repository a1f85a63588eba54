"""What TensorBoard reads of one run and of a study, from files that are written here."""

from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

from cluster.study_events import write_study_events
from cluster.trial_card import trial_card
from cluster.trial_events import TrialEvents
from made_rows import made_results, made_study
from qpmstudy.config import flatten
from storage.study import StudySpec

HELD_OUT = ("validation", "test")


def row_of(spec: StudySpec, **columns: Any) -> dict[str, Any]:
    figures = {1: {"accuracy": [0.75], "dense_accuracy": [0.5], "test_accuracy": [0.7]}}
    found = dict(made_results(spec, figures).rows[0])
    return found | {"command": "python cli.py study launch s.yaml", "commit": "c" * 40} | columns


def read(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()


def hparams(reader: EventAccumulator, tag: str) -> plugin_data_pb2.HParamsPluginData:
    content = reader.SummaryMetadata(f"_hparams_/{tag}").plugin_data.content
    return plugin_data_pb2.HParamsPluginData.FromString(content)


def card(reader: EventAccumulator) -> str:
    (found,) = reader.Tensors("card")
    text: str = found.tensor_proto.string_val[0].decode()
    return text


def test_a_run_has_its_curves_figures_configuration_and_card(tmp_path: Path) -> None:
    spec = made_study(seeds=1)
    row = row_of(spec, qp_solver="lagrangian", qp_gap=0.01)
    events = TrialEvents(tmp_path, trial=1, seed=0)
    events.epochs("dense", [{"epoch": 1, "loss": 2.0, "time": 5.0}])
    events.metrics({"accuracy": 0.75, "dense_accuracy": 0.5})
    events.session(flatten(spec.pipeline), complete=True)
    events.card(trial_card(row, ("finetune.l1_fm",), HELD_OUT))
    events.close()
    reader = read(tmp_path / "trial-00001" / "seed-0")
    assert [e.value for e in reader.Scalars("dense/loss")] == [2.0]
    assert [e.value for e in reader.Scalars("metrics/dense_accuracy")] == [0.5]
    begun = hparams(reader, "session_start_info").session_start_info
    assert begun.group_name == "trial 1"
    assert set(begun.hparams) == set(flatten(spec.pipeline))
    assert begun.hparams["finetune.standardise"].bool_value is True
    assert begun.hparams["finetune.l1_fm"].number_value == 5
    assert begun.hparams["embeddings.dataset"].string_value == "birds"
    ended = hparams(reader, "session_end_info").session_end_info
    assert ended.status == api_pb2.STATUS_SUCCESS
    for line in (
        "# s, trial 1, seed 0", "| finetune.l1_fm | 1 |", "| finetune.l1_fv | 0 | 1 |",
        "| accuracy | validation | 75.0 | 50.0 |", "| accuracy | test | 70.0 | - |",
        "gap 0.01, solver lagrangian", "- command: `python cli.py study launch s.yaml`",
        "- code: commit cccccccccccc, as installed",
        "- its model: `python cli.py study export s --pick 1 --out models/`",
    ):  # fmt: skip
        assert line in card(reader).splitlines()


def test_a_failed_run_says_so_and_shows_no_figures(tmp_path: Path) -> None:
    spec = made_study(seeds=1)
    row = row_of(spec, status="FAIL", error="The loss became nan | in epoch 3.")
    events = TrialEvents(tmp_path, trial=1, seed=0)
    events.session(flatten(spec.pipeline), complete=False)
    events.card(trial_card(row, ("finetune.l1_fm",), HELD_OUT))
    events.close()
    reader = read(tmp_path / "trial-00001" / "seed-0")
    ended = hparams(reader, "session_end_info").session_end_info
    assert ended.status == api_pb2.STATUS_FAILURE
    assert "**FAIL**: The loss became nan | in epoch 3." in card(reader)
    assert "## Result" not in card(reader)
    assert "## To repeat it" in card(reader)


def test_a_study_names_every_value_and_both_phases_metrics_once(tmp_path: Path) -> None:
    space = {
        "finetune.l1_fm": {"low": 0.5, "high": 4.0, "log": True},
        "adapter.depth": {"values": [2, 4]},
    }
    spec = made_study(space=space, sampler="random", trials=3)
    (tmp_path / "trial-00000").mkdir()
    for _ in range(2):  # launching again leaves one
        write_study_events(tmp_path, spec, HELD_OUT)
    assert len(list(tmp_path.glob("events*"))) == 1
    reader = read(tmp_path)
    experiment = hparams(reader, "experiment").experiment
    infos = {info.name: info for info in experiment.hparam_infos}
    assert list(infos) == list(flatten(spec.pipeline))
    assert [v.number_value for v in infos["adapter.depth"].domain_discrete.values] == [2, 4]
    interval = infos["finetune.l1_fm"].domain_interval
    assert (interval.min_value, interval.max_value) == (0.5, 4)
    tags = [info.name.tag for info in experiment.metric_infos]
    assert tags[:2] == ["metrics/accuracy", "metrics/dense_accuracy"]
    assert {"metrics/test_sid", "metrics/dense_test_sid", "metrics/qp_gap"} <= set(tags)
    assert len(set(tags)) == len(tags)
    (made,) = reader.Tensors("custom_scalars__config__")
    layout = layout_pb2.Layout.FromString(made.tensor_proto.string_val[0])
    assert [category.title for category in layout.category] == ["dense", "select", "finetune"]
    assert list(layout.category[0].chart[0].multiline.tag) == [
        "^dense/loss$", "^dense/cross_entropy$",
    ]  # fmt: skip
