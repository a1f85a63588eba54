"""Which configurations an unfinished study has dealt or will deal, as far as anybody knows."""

from cluster.trial_ledger import TrialLedger
from qpmstudy.config import PipelineConfig, with_values
from storage.layout import StudyFolder
from storage.study import StudySpec, grid
from storage.study.space import settings


def pending_configurations(folder: StudyFolder, spec: StudySpec) -> list[PipelineConfig]:
    """Return every configuration of a grid, or those that a sampler has proposed so far.

    No driver of the study may run: its ledger is opened.

    Raises:
        DataError: the ledger is damaged.
    """
    if spec.sampler == "grid":
        chosen = list(grid(spec.parameters))
    elif folder.ledger.exists():
        chosen = [dict(trial.chosen) for trial in TrialLedger(folder.ledger, spec).trials()]
    else:
        chosen = []
    return [with_values(spec.pipeline, settings(spec.parameters, values)) for values in chosen]
