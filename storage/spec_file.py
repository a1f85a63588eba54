"""The specification as the study's folder keeps it."""

from qpmstudy.files import read_json
from storage.layout import StudyFolder
from storage.study import StudySpec, parse_study


def stored_spec(folder: StudyFolder) -> StudySpec:
    """Return the specification of a launched study.

    Raises:
        DataError: study.json is missing or damaged.
        ConfigError: it was written by a version whose studies this one cannot read.
    """
    return parse_study(read_json(folder.spec), str(folder.spec))
