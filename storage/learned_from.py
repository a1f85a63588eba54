"""The images that an exported model learned from: its study keeps them, the export does not."""

from pathlib import Path
from typing import NamedTuple

from qpmstudy.errors import ConfigError, DataError
from storage.gallery import Gallery, gallery
from storage.layout import StorageRoot
from storage.model_images import stored_images


class LearnedFrom(NamedTuple):
    """The training images, or why they are not there."""

    gallery: Gallery | None
    missing: str = ""


def learned_from(model: Path, root: StorageRoot) -> LearnedFrom:
    """Return what the model in a folder was trained on, if its very embeddings are below `root`.

    Whatever images it is shown else are no part of them.
    """
    try:
        images = stored_images(model, root, split="train")
        if not images.own:
            return LearnedFrom(
                None, f"the {images.source} are not those that the model was made on."
            )
        return LearnedFrom(gallery(images))
    except (ConfigError, DataError) as error:
        return LearnedFrom(None, str(error))
