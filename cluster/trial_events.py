"""What TensorBoard shows of one trial and seed: curves as they grow, then metrics and overlays."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import FileWriter
from torch.utils.tensorboard.summary import hparams

Record = Mapping[str, float]

# Bookkeeping of a record, not curves of their own.
NOT_CURVES = frozenset({"epoch", "time"})


class TrialEvents:
    """The TensorBoard run of one trial and seed; opening it starts it anew.

    An event holds all curves of an epoch: one for each curve took nine times as long.
    """

    def __init__(self, root: Path, trial: int, seed: int) -> None:
        self._folder = root / f"trial-{trial:05d}" / f"seed-{seed}"
        shutil.rmtree(self._folder, ignore_errors=True)  # a run that was cut short
        self._writer = FileWriter(str(self._folder))
        self._written: dict[str, int] = {}

    def written(self, stage: str) -> int:
        """Return how many epochs of a stage have been written."""
        return self._written.get(stage, 0)

    def epochs(self, stage: str, records: Sequence[Record]) -> None:
        """Append records of epochs: tags "dense/loss", "finetune/l1_fm", ..."""
        for record in records:
            step = int(record["epoch"])
            curves = {
                f"{stage}/{name}": record[name] for name in sorted(record.keys() - NOT_CURVES)
            }
            self._writer.add_summary(_scalars(curves), step, walltime=record["time"])
            self._written[stage] = step
        self._writer.flush()

    def metrics(self, config: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """Write final metrics as scalars ("metrics/accuracy") and the pair of HParams."""
        known = {f"metrics/{name}": value for name, value in metrics.items()}
        self._writer.add_summary(_scalars(known), 0)
        for summary in hparams(dict(config), known):
            self._writer.add_summary(summary)

    def overlay(self, image: bytes, height: int, width: int) -> None:
        """Write one picture of feature overlays, a JPEG or PNG file of that many pixels."""
        picture = Summary.Image(
            height=height, width=width, colorspace=3, encoded_image_string=image
        )
        self._writer.add_summary(Summary(value=[Summary.Value(tag="overlays", image=picture)]), 0)

    def close(self) -> None:
        """Flush and close the run."""
        self._writer.close()


def _scalars(values: Mapping[str, float]) -> Summary:
    return Summary(
        value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
    )
