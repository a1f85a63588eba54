"""A file of TensorBoard events, written at once: a thread that does it later made trials wait."""

import os
import platform
import struct
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import google_crc32c
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import metadata as layout_metadata
from tensorboard.plugins.text import metadata as text_metadata

VERSION = "brain.Event:2"
"""How a file of events begins."""
METRICS = "metrics/"
"""Before the name of a metric in its tag."""


class EventFile:
    """One file of events in a folder, which is one run of TensorBoard's."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time():.0f}.{platform.node()}.{os.getpid()}.0"
        self._file = (folder / name).open("wb")
        self._write(Event(wall_time=time.time(), file_version=VERSION))

    def add(self, summary: Summary, step: int = 0, when: float | None = None) -> None:
        """Write one summary; `when` is in seconds since 1970, and now if None."""
        when = time.time() if when is None else when
        self._write(Event(wall_time=when, step=step, summary=summary))

    def flush(self) -> None:
        """Let readers see what was written."""
        self._file.flush()

    def close(self) -> None:
        """Flush and close the file."""
        self._file.close()

    def _write(self, event: Event) -> None:
        """Append a record: length and content, each with its masked CRC-32C.

        TensorBoard's own writer computes these in Python, which took most of a stored trial.
        """
        content = event.SerializeToString()
        length = struct.pack("<Q", len(content))
        self._file.write(length + _masked(length) + content + _masked(content))


def scalars(values: Mapping[str, float]) -> Summary:
    """Return a value for each tag."""
    return Summary(
        value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
    )


def text(tag: str, markdown: str) -> Summary:
    """Return a text of the plugin for texts."""
    about = text_metadata.create_summary_metadata(display_name=tag, description="")
    return _message(tag, about, markdown.encode())


def chart_layout(layout: Mapping[str, Mapping[str, Sequence[str]]]) -> Summary:
    """Return the charts of the plugin for custom scalars: by category and title, their tags."""
    categories = []
    for name, charts in layout.items():
        lines = {
            title: layout_pb2.MultilineChartContent(tag=tags) for title, tags in charts.items()
        }
        drawn = [layout_pb2.Chart(title=title, multiline=tags) for title, tags in lines.items()]
        categories.append(layout_pb2.Category(title=name, chart=drawn))
    content = layout_pb2.Layout(category=categories).SerializeToString()
    about = layout_metadata.create_summary_metadata()
    return _message(layout_metadata.CONFIG_SUMMARY_TAG, about, content)


def _message(tag: str, about: SummaryMetadata, content: bytes) -> Summary:
    tensor = TensorProto(dtype="DT_STRING", string_val=[content], tensor_shape=TensorShapeProto())
    return Summary(value=[Summary.Value(tag=tag, metadata=about, tensor=tensor)])


def _masked(content: bytes) -> bytes:
    crc = int(google_crc32c.value(content))
    rotated = (crc >> 15 | crc << 17) & 0xFFFFFFFF
    return struct.pack("<I", (rotated + 0xA282EAD8) & 0xFFFFFFFF)
