"""Stage results, kept by content key: whole or absent, checked when read.

<root>/<stage>/<first two digits of the key>/<key>/
    tensors.safetensors   arrays
    facts.json            everything else the stage returned
    manifest.json         hashes of both, seconds, host, device, versions, time
"""

import json
import logging
import platform
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from qpmstudy.errors import DataError
from qpmstudy.files import (
    check_hashes,
    read_json,
    remove_directory,
    sha256,
    whole_directory,
    write_bytes,
    write_json,
)
from storage.provenance import device_name, versions

if TYPE_CHECKING:
    from qpmstudy.stages import StageOutput

logger = logging.getLogger(__name__)

KEY = re.compile(r"[0-9a-f]{64}")
CONTENT = ("tensors.safetensors", "facts.json")


@dataclass(frozen=True)
class ArtifactStore:
    """The results of stages under one folder, shared by all studies."""

    root: Path

    def path(self, stage: str, key: str) -> Path:
        """Return the folder of one result, there or not.

        Raises:
            DataError: the key, which may come from a row, is none and could lead elsewhere.
        """
        if not KEY.fullmatch(key):
            raise DataError(
                f"{key[:80]!r} is no key of a result of the stage {stage!r}, which has 64 "
                "hexadecimal digits: whatever names it is damaged."
            )
        return self.root / stage / key[:2] / key

    def manifest(self, stage: str, key: str) -> dict[str, Any] | None:
        """Return the manifest of an intact result, or None.

        A damaged result is named in a warning, removed, and counts as absent:
        computing it again is always right, using it never.
        """
        path = self.path(stage, key)
        if not path.is_dir():
            return None
        try:
            manifest: dict[str, Any] = read_json(path / "manifest.json")
            check_hashes(path, _hashes(manifest, path))
            if not isinstance(manifest.get("seconds"), float | int):
                raise DataError(f"{path / 'manifest.json'} is damaged: it lacks seconds.")
        except DataError as error:
            logger.warning("%s The %s stage is computed again.", error, stage)
            self.discard(stage, key)
            return None
        return manifest

    def peek(self, stage: str, key: str) -> dict[str, Any] | None:
        """Return the manifest of a result without reading what it vouches for, or None.

        For what is shown and estimated: enough to say that a result is there, not that it is
        intact.
        """
        try:
            manifest = read_json(self.path(stage, key) / "manifest.json")
        except DataError:
            return None
        return manifest if isinstance(manifest, dict) else None

    def write(self, stage: str, key: str, output: "StageOutput", seconds: float) -> None:
        """Commit a result. One that is there already stays as it is."""
        from safetensors.torch import save

        with whole_directory(self.path(stage, key)) as folder:
            tensors = {name: value.contiguous() for name, value in output.tensors.items()}
            write_bytes(folder / "tensors.safetensors", save(tensors))
            write_json(folder / "facts.json", dict(output.facts))
            write_json(
                folder / "manifest.json",
                {
                    "stage": stage,
                    "key": key,
                    "sha256": {name: sha256(folder / name) for name in CONTENT},
                    "seconds": seconds,
                    "host": platform.node(),
                    "device": device_name(),
                    "versions": versions(),
                    "written": time.time(),
                },
            )

    def read(self, stage: str, key: str) -> "StageOutput":
        """Return a result after checking its hashes.

        Raises:
            DataError: it is absent or damaged.
        """
        from safetensors.torch import load_file

        from qpmstudy.stages import StageOutput

        path = self.path(stage, key)
        if not path.is_dir():
            raise DataError(
                f"There is no result of the stage {stage!r} under the key {key[:12]}... in "
                f"{self.root}. Launch the study again: it computes what is missing. (Of a run that "
                "has its row, as after `study gc --keep front`, delete the row's file first.)"
            )
        check_hashes(path, _hashes(read_json(path / "manifest.json"), path))
        try:
            tensors = load_file(path / "tensors.safetensors")
        except SafetensorError as error:
            raise DataError(f"{path / 'tensors.safetensors'} cannot be read: {error}.") from error
        return StageOutput(tensors, read_json(path / "facts.json"))

    def facts(self, stage: str, key: str) -> dict[str, object]:
        """Return only the facts of a result, without loading its tensors."""
        facts: dict[str, object] = read_json(self.path(stage, key) / "facts.json")
        return facts

    def discard(self, stage: str, key: str) -> None:
        """Remove a result, for good."""
        with suppress(FileNotFoundError):  # somebody else was quicker
            remove_directory(self.path(stage, key))


def _hashes(manifest: object, path: Path) -> dict[str, str]:
    hashes = manifest.get("sha256") if isinstance(manifest, dict) else None
    if not isinstance(hashes, dict) or set(hashes) != set(CONTENT):
        raise DataError(
            f"{path / 'manifest.json'} is damaged: it must list the hashes of "
            f"{' and '.join(CONTENT)}, not {json.dumps(hashes)[:80]}."
        )
    return hashes
