"""What can be asked of a dataset without object masks, and what to ask instead."""

from collections.abc import Iterable, Sequence

from qpmstudy.columns import needs_masks
from qpmstudy.errors import ConfigError
from storage.embeddings import EmbeddingStore
from storage.study import StudySpec

UNMASKED = "objectives: {accuracy: max, sid: max}"
"""What to write into the study file of a dataset without masks."""


def check_masks(spec: StudySpec, stores: Iterable[EmbeddingStore]) -> None:
    """Refuse a study that searches for what its embeddings cannot tell, before anything runs.

    Args:
        spec: the study.
        stores: those that it reads, as far as they are there.

    Raises:
        ConfigError: an objective or rung needs object masks, and a store has none.
    """
    asked = _asked(spec)
    unmasked = [store for store in stores if not store.attributes["has_masks"]]
    if not asked or not unmasked:
        return
    attributes = unmasked[0].attributes
    dataset, backbone = attributes["dataset"], attributes["backbone"]
    raise ConfigError(
        f"The study {spec.name!r} asks for {' and '.join(asked)}, which needs object masks, but "
        f"{dataset} was embedded by {backbone} without any (its images: "
        f"{attributes['image_root']}). Without masks, write into the study file: {UNMASKED}\n"
        "With masks, put them as PNG into segmentations/ in the folder of the dataset and embed "
        "it again with --force."
    )


def without_masks(studies: Sequence[str]) -> str:
    """Return what to do about finished studies in which a metric that needs masks has no value."""
    ways = " ".join(f"--objective {metric}:max" for metric in ("accuracy", "sid"))
    return (
        "it needs object masks (segmentations/), and the dataset came without. Look by other "
        f"objectives: python cli.py study pareto {' '.join(studies)} {ways}\nFor everything "
        f"else launch the study under a new name with {UNMASKED}: stored stages are reused, so "
        "it costs next to nothing."
    )


def _asked(spec: StudySpec) -> list[str]:
    """Return what a study asks for that needs masks, in words."""
    usual = "" if "objectives" in spec.model_fields_set else " (there by default)"
    found = [f"the objective {name!r}{usual}" for name in spec.objectives if needs_masks(name)]
    for rung in spec.early_stopping.rungs if spec.early_stopping else ():
        found += [f"{name!r} at the rung {rung.label}" for name in rung.by if needs_masks(name)]
    return found
