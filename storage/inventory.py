"""The stores of embeddings below a root: which there are, how far, and whether they are whole."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from qpmstudy.errors import DataError
from storage.embeddings import EmbeddingStore, open_store
from storage.groups import array_of, command, is_finished, open_group
from storage.layout import StorageRoot
from storage.places import reached, size
from storage.sizes import readable

HEADER = ("dataset", "backbone", "images", "grid", "dim", "on disk", "state", "fingerprint")


@dataclass(frozen=True)
class Stored:
    """One store as `embed --list` shows it; `attributes` is empty where it cannot be read."""

    dataset: str
    backbone: str
    attributes: dict[str, Any]
    shape: tuple[int, ...]  # images, patches, channels
    bytes: int
    complete: bool
    written: int  # shards

    @property
    def state(self) -> str:
        """Return "complete", or how far it is and what to do."""
        if not self.attributes:
            return "unreadable: embed --verify says why"
        if self.complete:
            left_out = len(self.attributes.get("left_out", ()))
            return f"complete, {left_out} broken left out" if left_out else "complete"
        shards = -(-self.shape[0] // self.attributes["shard_rows"])
        return f"{self.written} of {shards} shards: embed it again to go on"


def stored(root: StorageRoot) -> Iterator[Stored]:
    """Yield every store below the root.

    Raises:
        StoreError: the URL cannot be reached.
    """
    for dataset, backbone in root.stores():
        path = root.embeddings(dataset, backbone)
        taken = size(path)
        try:
            group = open_group(path, "r")
            with reached(path):
                known = group is not None and "shard_rows" in group.attrs and "patches" in group
            store = EmbeddingStore(path, group) if group is not None and known else None
            written = 0 if store is None else len(store.checksums)
        except DataError:
            store = None
        if store is None:
            yield Stored(dataset, backbone, {}, (), taken, False, 0)
        else:
            group = store.group
            shape = array_of(group, "patches").shape
            whole = is_finished(group)
            yield Stored(dataset, backbone, store.attributes, shape, taken, whole, written)


def listing(root: StorageRoot) -> list[str]:
    """Return the lines of a table of every store below the root."""
    rows = [HEADER]
    for store in stored(root):
        images, _, dim = store.shape or ("-", "-", "-")
        grid = " x ".join(map(str, store.attributes.get("grid", "-")))
        mark = str(store.attributes.get("fingerprint", "-"))[:12]
        size = readable(store.bytes)
        rows.append(
            (store.dataset, store.backbone, str(images), grid, str(dim), size, store.state, mark)
        )
    if len(rows) == 1:
        return [f"There are no embeddings in {root.below}. Make some: python cli.py embed"]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def verify_lines(
    root: StorageRoot, dataset: str | None = None, backbone: str | None = None
) -> tuple[list[str], bool]:
    """Return what there is to say of every store, or of those asked for, and if all are whole.

    Every shard and every other array is read and compared with its checksum.

    Raises:
        DataError: there is no such store.
    """
    chosen = [
        store
        for store in stored(root)
        if dataset in (None, store.dataset) and backbone in (None, store.backbone)
    ]
    if not chosen:
        asked = f" of {dataset or 'any dataset'} by {backbone or 'any backbone'}"
        raise DataError(
            f"There are no embeddings{asked} in {root.below}. See: python cli.py embed --list"
        )
    lines: list[str] = []
    whole = True
    for store in chosen:
        damages = list(_damages(root, store))
        whole = whole and not damages
        verdict = "damaged" if damages else "whole"
        lines.append(f"{store.dataset} by {store.backbone}: {verdict} ({store.state})")
        lines += [f"  {damage}" for damage in damages]
    return lines, whole


def _damages(root: StorageRoot, store: Stored) -> Iterator[str]:
    path = root.embeddings(store.dataset, store.backbone)
    try:
        group = open_group(path, "r")
    except DataError as error:
        yield str(error)
        return
    if group is None or not store.attributes:
        remedy = command(store.dataset, store.backbone, path)
        yield f"The embeddings at {path} lack what describes them. Make them anew: {remedy} --force"
        return
    whole = EmbeddingStore(path, group)
    if store.complete:
        try:
            open_store(path, store.dataset, store.backbone)
        except DataError as error:  # moved to another's name
            yield str(error)
    for shard in whole.checksums:
        try:
            whole.check_shard(shard)
        except DataError as error:
            yield str(error)
    if store.complete:
        try:
            whole.read_without_patches()
        except DataError as error:
            yield str(error)
