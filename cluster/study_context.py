"""What every trial of a study has in common."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cluster.rung_figures import RungFigures
from qpmstudy.config import PipelineConfig
from qpmstudy.embeddings import held_out
from qpmstudy.stage_graph import stage_keys
from storage.embeddings import EmbeddingStore
from storage.layout import StorageRoot, StudyFolder
from storage.provenance import command_line
from storage.study.stopping import EarlyStopping


@dataclass(frozen=True)
class StoreFacts:
    """What a trial must know of a store of embeddings besides its tokens."""

    fingerprint: str
    held_out: tuple[str, ...]
    image_root: str

    @classmethod
    def of(cls, store: EmbeddingStore) -> "StoreFacts":
        """Return what the store itself says."""
        attributes = store.attributes
        splits = held_out(attributes["split_names"])
        return cls(store.fingerprint, splits, attributes["image_root"])


@dataclass(frozen=True)
class StudyContext:
    """What every trial of a study has in common, wherever its stages come from."""

    study: str
    root: str
    protocol: str
    split: str  # that bare metric names are measured on
    stores: Mapping[tuple[str, str], StoreFacts]
    varied: tuple[str, ...] = ()  # paths of the values that the study varies
    pictures: int = 0  # trials that show one in TensorBoard: the first so many
    command: str = field(default_factory=command_line)  # of the driver, which makes the context
    early_stopping: EarlyStopping | None = None

    @property
    def storage(self) -> StorageRoot:
        """Return the storage root."""
        return StorageRoot(Path(self.root))

    @property
    def folder(self) -> StudyFolder:
        """Return the folder of the study."""
        return self.storage.study(self.study)

    @property
    def rung_figures(self) -> RungFigures:
        """Return what tells what a run is worth at the rungs it passes."""
        return RungFigures(self.early_stopping, self.split)

    @property
    def held_out(self) -> tuple[str, ...]:
        """Return every split besides "train" that any store of the study has."""
        return held_out(name for store in self.stores.values() for name in store.held_out)

    def keys(self, config: PipelineConfig, seed: int) -> dict[str, str]:
        """Return the key of every stage of a replicate."""
        return stage_keys(config, self.store(config).fingerprint, seed)

    def store(self, config: PipelineConfig) -> StoreFacts:
        """Return what is known of the store that a configuration reads."""
        return self.stores[config.embeddings.dataset, config.embeddings.backbone]
