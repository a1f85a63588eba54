"""Imported by every Python whose PYTHONPATH names this folder: notes what is renamed into place.

A line of JSON a stage result or row that was made, in the file named by QPMSTUDY_WATCH: whether
one was there already, and when its computation began. From it a test knows what was computed twice
even where the second result was dropped. Nothing is patched: Python itself tells of each rename.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

LOG = os.environ.get("QPMSTUDY_WATCH")


def note(event: str, arguments: tuple[Any, ...]) -> None:
    """Hear an audit event of Python; those of `os.rename` and `os.replace` are of interest."""
    if event != "os.rename":
        return
    source, target = Path(os.fsdecode(arguments[0])), Path(os.fsdecode(arguments[1]))
    now = time.time()
    record = {"target": str(target), "end": now, "there": target.exists(), "process": os.getpid()}
    if target.parent.name == "results" and target.suffix == ".parquet":
        record["kind"] = "row"
    elif len(target.parts) > 4 and target.parts[-4] == "_artifacts" and target.name[0] != ".":
        manifest = source / "manifest.json"
        if not manifest.exists():  # one that is moved out of the way
            return
        seconds = json.loads(manifest.read_text(encoding="utf-8"))["seconds"]
        record |= {"kind": "stage", "start": now - seconds}
    else:
        return
    line = (json.dumps(record) + "\n").encode()
    handle = os.open(LOG or os.devnull, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, line)  # one call: lines of several processes do not mix
    os.close(handle)


if LOG:
    sys.addaudithook(note)
