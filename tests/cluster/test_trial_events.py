"""What TensorBoard reads of a trial's events, by its own reader, which checks every record."""

import os
import struct
from pathlib import Path

import pytest
from tensorboard.compat.tensorflow_stub.errors import DataLossError, OutOfRangeError
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New, masked_crc32c

from cluster.trial_events import TrialEvents


def written(folder: Path) -> Path:
    events = TrialEvents(folder, 0, 1)
    events.epochs("dense", [{"epoch": 1, "time": 5.0, "loss": 2.0}])
    events.overlay(os.urandom(1000), 20, 30)
    events.close()
    (path,) = folder.glob("trial-00000/seed-1/events.out.tfevents.*")
    return path


def records(path: Path) -> int:
    reader, count = PyRecordReader_New(str(path)), 0
    try:
        while True:
            reader.GetNext()
            count += 1
    except OutOfRangeError:
        return count


def test_tensorboards_own_reader_finds_every_record(tmp_path: Path) -> None:
    assert records(written(tmp_path)) == 3  # the version first


def test_checksums_are_those_that_tensorboard_computes(tmp_path: Path) -> None:
    content, seen = written(tmp_path).read_bytes(), 0
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        body = content[12 : 12 + length]
        assert content[8:12] == struct.pack("<I", masked_crc32c(content[:8]))
        assert content[12 + length : 16 + length] == struct.pack("<I", masked_crc32c(body))
        content, seen = content[16 + length :], seen + 1
    assert seen == 3


def test_a_flipped_byte_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path)
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataLossError, match="failed"):
        records(path)
