"""The dense model that an exported one was made of: its study keeps it, the export does not."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from qpmstudy.classifier import Classifier
from qpmstudy.config import PipelineConfig, with_values
from qpmstudy.errors import DataError
from qpmstudy.stage_graph import stage_keys
from storage.layout import StorageRoot


class Dense(NamedTuple):
    """The dense model, or why it is not there."""

    classifier: Classifier | None
    missing: str = ""


def dense_model(root: StorageRoot, record: Mapping[str, Any]) -> Dense:
    """Return the dense model behind model.json, if the stage's result is stored below `root`.

    Its key follows from what model.json says: configuration, embeddings, seed.
    """
    try:
        config = with_values(PipelineConfig(), record["configuration"])
        keys = stage_keys(config, record["embeddings_fingerprint"], record["seed"])
    except (KeyError, TypeError, AttributeError):
        return Dense(None, "model.json, from another version, does not say which one it was.")
    if not root.artifacts.path("dense", keys["dense"]).is_dir():
        return Dense(
            None,
            f"it is not in {root.path}. Give the --root of the study {record.get('study')!r}; an "
            "exported model is without it.",
        )
    try:
        return Dense(root.artifacts.read("dense", keys["dense"]).classifier())
    except DataError as error:
        return Dense(None, str(error))
