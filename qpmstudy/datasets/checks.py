"""What is wrong with a dataset's files: at once when it is opened, or picture by picture."""

from collections import Counter
from pathlib import Path, PurePosixPath

from qpmstudy.datasets.base import ImageDataset
from qpmstudy.datasets.regions import split_region
from qpmstudy.errors import DataError


def check_folder(name: str, root: Path, get: str) -> None:
    """Raise unless the dataset `name` has a folder; `get` is what an error tells the user to do.

    Raises:
        DataError: it has none.
    """
    if not root.is_dir():
        raise DataError(f"The dataset {name!r} has no folder {root}: {get}.")


def checked(dataset: ImageDataset, get: str, listed: bool = True) -> ImageDataset:
    """Return `dataset`, whose files are all there and whose classes can all be learnt.

    `get` is what an error tells the user to do; not `listed` are images that were found where they
    are, and need not be looked for. No picture is decoded: `broken_images` does that.

    Raises:
        DataError: an image is listed twice or lies outside the folder, files that are listed do
            not exist, or a class has no image, or none to train on.
    """
    where = f"The dataset {dataset.name!r} in {dataset.root}"
    for image_id in dataset.ids:
        path = PurePosixPath(split_region(image_id)[0])
        if path.is_absolute() or ".." in path.parts or not image_id.isprintable():
            raise DataError(
                f"{where} names the image {image_id!r}, which is not a plain path below "
                f"{dataset.image_folder}/ in printable characters: rename it, or {get}."
            )
    twice = [image_id for image_id, count in Counter(dataset.ids).items() if count > 1]
    if twice:
        raise DataError(f"{where} names {twice[0]} more than once: {get}.")
    indices = range(len(dataset))
    if listed:
        _check_there(f"{where} lists", "images", [dataset.image_path(i) for i in indices], get)
    if dataset.has_masks:
        masks = [dataset.mask_path(i) for i in indices]
        files = len({dataset.image_path(i) for i in indices})
        if len(set(masks)) < files:
            shared = next(path for path, count in Counter(masks).items() if count > 1)
            raise DataError(
                f"{where} has images that differ in their suffix alone and share the segmentation "
                f"{shared}: rename one of them."
            )
        remedy = (
            "add what is missing (of an archive: unpack segmentations/ again), or remove the "
            "folder to do without masks"
        )
        _check_there(f"{where} needs", "segmentations", masks, remedy)
    known = set(dataset.labels.tolist())
    empty = [name for label, name in enumerate(dataset.class_names) if label not in known]
    for names, what in ((empty, "no images"), (dataset.untrained(), "no training images")):
        if names:
            raise DataError(
                f"{where} has {what} of {len(names)} of {len(dataset.class_names)} classes, the "
                f"first is {names[0]!r}: {get}."
            )
    return dataset


def _check_there(where: str, what: str, paths: list[Path], remedy: str) -> None:
    """Raise if any of the files is missing."""
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise DataError(
            f"{where} {len(paths)} {what}, of which {len(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} missing, the first is {missing[0]}: {remedy}."
        )


def broken_images(dataset: ImageDataset) -> list[tuple[str, str]]:
    """Return id and reason of every image that cannot be used: it or its mask does not decode."""
    broken = []
    for index, image_id in enumerate(dataset.ids):
        try:
            dataset.image(index)
            dataset.mask(index)
        except DataError as error:
            broken.append((image_id, str(error)))
    return broken
