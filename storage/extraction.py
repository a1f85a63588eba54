"""Writing a store of frozen embeddings, shard by shard, so that a stopped run can go on.

Shards are computed and written here, or wherever `fill` sends them, in any order; this process
alone records them (`storage.record`) and marks the store complete. A killed run leaves at most
files that the next one writes again, and temporary ones that it removes.
"""

from collections.abc import Mapping

import zarr

from qpmstudy.backbones.base import Backbone
from qpmstudy.datasets import ImageDataset
from qpmstudy.errors import DataError
from storage.embeddings import EmbeddingStore, open_store
from storage.groups import is_finished
from storage.loading import default_workers
from storage.new_store import BATCH, begun_store, fingerprint, new_store
from storage.places import Place, remove, remove_partial
from storage.progress import Progress
from storage.record import Digests, finish, forget_record, missing, note
from storage.shards import Fill, Work, fill_here
from storage.writer import Writer, only_writer


def extract(
    dataset: ImageDataset,
    backbone: Backbone,
    path: Place,
    progress: Progress | None = None,
    batch: int = BATCH,
    workers: int | None = None,
    left_out: Mapping[str, str] | None = None,
    fill: Fill = fill_here,
) -> EmbeddingStore:
    """Run a backbone over a dataset and write its store, going on where an earlier run stopped.

    Args:
        dataset: images, labels, splits and masks.
        backbone: frozen; its tokens are stored as float16.
        path: where the store lies.
        progress: called with (images done, images in all), at first with those done before.
        batch: images that the backbone embeds at once.
        workers: processes that decode images; None decides by CPUs and images.
        left_out: {id: reason} of images that the dataset lacks because they are broken.
        fill: what computes the shards.

    Raises:
        DataError: an image cannot be read, a token is too large for float16, or `path` holds a
            store of other content.
        StoreError: another process writes this store, or its URL cannot be reached.
        WorkerError: a process that decodes images, or computes shards, died.
    """
    with only_writer(path) as writer:
        content = fingerprint(dataset, backbone)
        group = begun_store(path, content)
        if group is None:
            group = new_store(dataset, backbone, path, content, left_out or {})
        if not is_finished(group):
            remove_partial(path)
            count = default_workers(len(dataset)) if workers is None else workers
            work = Work(path, group, dataset, backbone, tuple(missing(group)), batch, count)
            try:
                _carry_out(work, fill, writer, progress or _silent)
            except DataError:  # what mends the image changes the content: it cannot go on here
                remove(path)
                raise
            writer.check()
            finish(group, read_back=not (writer.locked and fill is fill_here))
        _tidy(path, group)
    return open_store(path, dataset.name, backbone.name)


def _carry_out(work: Work, fill: Fill, writer: Writer, progress: Progress) -> None:
    """Have the shards computed, recording each."""
    images = len(work.dataset)
    done = images - sum(len(work.rows(shard)) for shard in work.shards)

    def embedded(count: int) -> None:
        nonlocal done
        done += count
        progress(done, images)

    def record(shard: int, found: Digests) -> None:
        writer.check()
        note(work.group, shard, found)

    progress(done, images)
    if work.shards:
        fill(work, record, embedded)


def _tidy(path: Place, group: zarr.Group) -> None:
    """Remove what only an unfinished store needs; a kill may have come before it."""
    remove_partial(path)
    forget_record(group)


def _silent(done: int, total: int) -> None:
    """Tell nobody."""
