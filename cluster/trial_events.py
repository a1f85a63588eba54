"""What TensorBoard shows of one trial and seed: curves as they grow, then figures and a card."""

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

from cluster.event_file import METRICS, EventFile, scalars, text

Record = Mapping[str, float]

# Bookkeeping of a record, not curves of their own.
NOT_CURVES = frozenset({"epoch", "time"})


class TrialEvents:
    """The TensorBoard run of one trial and seed; opening it starts it anew.

    An event holds all curves of an epoch: one for each curve took nine times as long.
    """

    def __init__(self, root: Path, trial: int, seed: int) -> None:
        folder = root / f"trial-{trial:05d}" / f"seed-{seed}"
        shutil.rmtree(folder, ignore_errors=True)  # a run that was cut short
        self._group, self._started = f"trial {trial}", time.time()
        self._file = EventFile(folder)
        self._written: dict[str, int] = {}

    def written(self, stage: str) -> int:
        """Return how many epochs of a stage have been written."""
        return self._written.get(stage, 0)

    def epochs(self, stage: str, records: Sequence[Record]) -> None:
        """Append records of epochs: tags "dense/loss", "finetune/l1_fm", ..."""
        for record in records:
            step = int(record["epoch"])
            names = sorted(record.keys() - NOT_CURVES)
            curves = scalars({f"{stage}/{name}": record[name] for name in names})
            self._file.add(curves, step, record["time"])
            self._written[stage] = step
        self._file.flush()

    def metrics(self, metrics: Mapping[str, float]) -> None:
        """Write final metrics as scalars ("metrics/accuracy"), which HParams reads, too."""
        self._file.add(scalars({METRICS + name: value for name, value in metrics.items()}))

    def session(self, config: Mapping[str, object], complete: bool) -> None:
        """Write what HParams shows of the run: every value of its configuration, and how it ended.

        Runs of one trial are one group there: they differ in their seed alone.
        """
        start = plugin_data_pb2.SessionStartInfo(
            group_name=self._group, start_time_secs=self._started
        )
        for name, value in config.items():
            field = start.hparams[name]
            if isinstance(value, bool):
                field.bool_value = value
            elif isinstance(value, int | float):
                field.number_value = value
            else:
                field.string_value = str(value)
        end = plugin_data_pb2.SessionEndInfo(
            status=api_pb2.STATUS_SUCCESS if complete else api_pb2.STATUS_FAILURE,
            end_time_secs=time.time(),
        )
        for tag, known in (
            (metadata.SESSION_START_INFO_TAG, {"session_start_info": start}),
            (metadata.SESSION_END_INFO_TAG, {"session_end_info": end}),
        ):
            self._file.add(hparams_summary(tag, plugin_data_pb2.HParamsPluginData(**known)))

    def card(self, markdown: str) -> None:
        """Write the card of the run: one text."""
        self._file.add(text("card", markdown))

    def overlay(self, image: bytes, height: int, width: int) -> None:
        """Write one picture of feature overlays, a JPEG or PNG file of that many pixels."""
        picture = Summary.Image(
            height=height, width=width, colorspace=3, encoded_image_string=image
        )
        self._file.add(Summary(value=[Summary.Value(tag="overlays", image=picture)]))

    def close(self) -> None:
        """Flush and close the run."""
        self._file.close()


def hparams_summary(tag: str, content: plugin_data_pb2.HParamsPluginData) -> Summary:
    """Return a message of the HParams plugin as a summary."""
    about = metadata.create_summary_metadata(content)
    return Summary(value=[Summary.Value(tag=tag, metadata=about, tensor=metadata.NULL_TENSOR)])
