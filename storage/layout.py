"""Where everything is kept below one storage root.

runs/
    _datasets/<dataset>/             images that are generated here
    _embeddings/<dataset>/<backbone> Zarr groups, unless they lie in a place of their own
    _artifacts/                      stage results, shared by all studies
    _overlays/                       pictures of evaluations, drawn once
    _pareto/                         fronts of several studies together
    <study>/                         study.json, ledger, results, tensorboard, plots; of a study
                                     with many rows rows.cache, which may be deleted
"""

import re
from dataclasses import dataclass
from pathlib import Path

from qpmstudy.errors import ConfigError, DataError
from qpmstudy.registry import did_you_mean
from storage.artifacts import ArtifactStore
from storage.places import Place, stores_below
from storage.results import ResultTable

STUDY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@=,+-]{0,199}")
"""Of a dataset or backbone; the latter's options stand in it."""


@dataclass(frozen=True)
class StudyFolder:
    """The files of one study."""

    path: Path

    @property
    def name(self) -> str:
        """Return the name of the study."""
        return self.path.name

    @property
    def spec(self) -> Path:
        """Return the path of the study as it was first launched, in canonical form."""
        return self.path / "study.json"

    @property
    def ledger(self) -> Path:
        """Return the path of the journal of trials."""
        return self.path / "ledger.journal"

    @property
    def lock(self) -> Path:
        """Return the path of the file that the one running driver holds locked."""
        return self.path / "driver.lock"

    @property
    def cancel(self) -> Path:
        """Return the path of the file whose being there asks the driver to stop."""
        return self.path / "cancel.json"

    @property
    def log(self) -> Path:
        """Return the path of the driver's log."""
        return self.path / "driver.log"

    @property
    def results(self) -> ResultTable:
        """Return the study's rows."""
        return ResultTable(self.path / "results")

    @property
    def tensorboard(self) -> Path:
        """Return the folder to point TensorBoard at."""
        return self.path / "tensorboard"


@dataclass(frozen=True)
class StorageRoot:
    """The folder below which everything is kept.

    Attributes:
        path: the folder.
        elsewhere: where embeddings are kept instead of in it; may be a URL.
    """

    path: Path
    elsewhere: Place | None = None

    def study(self, name: str) -> StudyFolder:
        """Return the folder of a study, there or not.

        Raises:
            ConfigError: the name could leave the root or clash with the shared folders.
        """
        if not STUDY_NAME.fullmatch(name):
            raise ConfigError(
                f"The study name {name!r} is not allowed: 1 to 64 letters, digits, '-', '_' or "
                "'.', starting with a letter or digit."
            )
        return StudyFolder(self.path / name)

    def existing_study(self, name: str) -> StudyFolder:
        """Return the folder of a study that has been launched.

        Raises:
            DataError: there is none of that name.
        """
        folder = self.study(name)
        if not folder.spec.is_file():
            names = [study.name for study in self.studies()]
            known, near = ", ".join(names) or "none yet", did_you_mean(name, names)
            launch = " Launch one: python cli.py study launch studies/l1fm.yaml"
            raise DataError(
                f"There is no study {name!r} in {self.path} (known: {known}).{near or launch}"
            )
        return folder

    def studies(self) -> list[StudyFolder]:
        """Return every launched study, by name."""
        return [StudyFolder(spec.parent) for spec in sorted(self.path.glob("[!_.]*/study.json"))]

    @property
    def artifacts(self) -> ArtifactStore:
        """Return the stage results."""
        return ArtifactStore(self.path / "_artifacts")

    @property
    def overlays(self) -> Path:
        """Return the folder of pictures that are drawn once for each evaluation."""
        return self.path / "_overlays"

    @property
    def comparisons(self) -> Path:
        """Return the folder of what is written about several studies together."""
        return self.path / "_pareto"

    def dataset(self, name: str) -> Path:
        """Return the folder of a generated dataset.

        Raises:
            ConfigError: the name could leave the root.
        """
        return self.path / "_datasets" / _folder_name(name, "dataset")

    @property
    def below(self) -> Place:
        """Return the place of all stores of embeddings."""
        return self.elsewhere or self.path / "_embeddings"

    def embeddings(self, dataset: str, backbone: str) -> Place:
        """Return the place of a store of embeddings.

        Raises:
            ConfigError: a name, which may come from a model or a command line, could leave it.
        """
        return self.below / _folder_name(dataset, "dataset") / _folder_name(backbone, "backbone")

    def stores(self) -> list[tuple[str, str]]:
        """Return dataset and backbone of every store of embeddings, complete or not, by name.

        Raises:
            StoreError: the URL cannot be reached.
        """
        return stores_below(self.below)


def _folder_name(name: str, what: str) -> str:
    if not FOLDER_NAME.fullmatch(name):
        raise ConfigError(
            f"The {what} {name[:80]!r} is no name of one: 1 to 200 letters, digits or any of "
            "_ . @ = , + -, starting with a letter or digit."
        )
    return name
