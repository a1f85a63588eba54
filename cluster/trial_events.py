"""What TensorBoard shows of one trial and seed: curves as they grow, then metrics and overlays."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

Record = Mapping[str, float]

# Bookkeeping of a record, not curves of their own.
NOT_CURVES = frozenset({"epoch", "time"})


class TrialEvents:
    """The TensorBoard run of one trial and seed; opening it starts it anew."""

    def __init__(self, root: Path, trial: int, seed: int) -> None:
        self._folder = root / f"trial-{trial:05d}" / f"seed-{seed}"
        shutil.rmtree(self._folder, ignore_errors=True)  # a run that was cut short
        self._writer = SummaryWriter(str(self._folder))
        self._written: dict[str, int] = {}

    def written(self, stage: str) -> int:
        """Return how many epochs of a stage have been written."""
        return self._written.get(stage, 0)

    def epochs(self, stage: str, records: list[Record]) -> None:
        """Append records of epochs: tags "dense/loss", "finetune/l1_fm", ..."""
        for record in records:
            step = int(record["epoch"])
            for name in sorted(record.keys() - NOT_CURVES):
                self._writer.add_scalar(
                    f"{stage}/{name}", record[name], step, walltime=record["time"]
                )
            self._written[stage] = step
        self._writer.flush()

    def metrics(self, config: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """Write final metrics as scalars ("metrics/accuracy") and the pair of HParams."""
        known = {f"metrics/{name}": value for name, value in metrics.items()}
        for tag, value in known.items():
            self._writer.add_scalar(tag, value)
        file_writer = self._writer._get_file_writer()
        for summary in hparams(dict(config), known):
            file_writer.add_summary(summary)

    def overlay(self, image: np.ndarray) -> None:
        """Write one picture (H, W, 3) uint8 of feature overlays."""
        self._writer.add_image("overlays", image, dataformats="HWC")

    def close(self) -> None:
        """Flush and close the run."""
        self._writer.close()
