"""What TensorBoard shows of one trial and seed: curves as they grow, then metrics and overlays."""

import os
import platform
import shutil
import struct
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import google_crc32c
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard.summary import hparams

Record = Mapping[str, float]

# Bookkeeping of a record, not curves of their own.
NOT_CURVES = frozenset({"epoch", "time"})
VERSION = "brain.Event:2"
"""How a file of events begins."""


class TrialEvents:
    """The TensorBoard run of one trial and seed; opening it starts it anew.

    An event holds all curves of an epoch: one for each curve took nine times as long. Events are
    written at once; a thread that does it later, as TensorBoard's own writer has, made each trial
    wait for it.
    """

    def __init__(self, root: Path, trial: int, seed: int) -> None:
        self._folder = root / f"trial-{trial:05d}" / f"seed-{seed}"
        shutil.rmtree(self._folder, ignore_errors=True)  # a run that was cut short
        self._folder.mkdir(parents=True)
        name = f"events.out.tfevents.{time.time():.0f}.{platform.node()}.{os.getpid()}.0"
        self._file = (self._folder / name).open("wb")
        self._write(Event(wall_time=time.time(), file_version=VERSION))
        self._written: dict[str, int] = {}

    def written(self, stage: str) -> int:
        """Return how many epochs of a stage have been written."""
        return self._written.get(stage, 0)

    def epochs(self, stage: str, records: Sequence[Record]) -> None:
        """Append records of epochs: tags "dense/loss", "finetune/l1_fm", ..."""
        for record in records:
            step = int(record["epoch"])
            names = sorted(record.keys() - NOT_CURVES)
            curves = _scalars({f"{stage}/{name}": record[name] for name in names})
            self._add(curves, step, record["time"])
            self._written[stage] = step
        self._file.flush()

    def metrics(self, config: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        """Write final metrics as scalars ("metrics/accuracy") and the pair of HParams."""
        known = {f"metrics/{name}": value for name, value in metrics.items()}
        self._add(_scalars(known))
        for summary in hparams(dict(config), known):
            self._add(summary)

    def overlay(self, image: bytes, height: int, width: int) -> None:
        """Write one picture of feature overlays, a JPEG or PNG file of that many pixels."""
        picture = Summary.Image(
            height=height, width=width, colorspace=3, encoded_image_string=image
        )
        self._add(Summary(value=[Summary.Value(tag="overlays", image=picture)]))

    def close(self) -> None:
        """Flush and close the run."""
        self._file.close()

    def _add(self, summary: Summary, step: int = 0, when: float | None = None) -> None:
        when = time.time() if when is None else when
        self._write(Event(wall_time=when, step=step, summary=summary))

    def _write(self, event: Event) -> None:
        """Append a record: length and content, each with its masked CRC-32C.

        TensorBoard's own writer computes these in Python, which took most of a stored trial.
        """
        content = event.SerializeToString()
        length = struct.pack("<Q", len(content))
        self._file.write(length + _masked(length) + content + _masked(content))


def _scalars(values: Mapping[str, float]) -> Summary:
    return Summary(
        value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
    )


def _masked(content: bytes) -> bytes:
    crc = int(google_crc32c.value(content))
    rotated = (crc >> 15 | crc << 17) & 0xFFFFFFFF
    return struct.pack("<I", (rotated + 0xA282EAD8) & 0xFFFFFFFF)
