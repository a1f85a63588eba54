"""Who may speak: our own warnings and errors always, other libraries only when asked."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OURS = ("qpmstudy", "storage", "cluster")


@contextmanager
def quiet(log: Path, verbose: bool) -> Iterator[None]:
    """Send our log to the file `log`, our warnings to stderr too, and hush everybody else."""
    # opened at the first word: a launch that is refused leaves no file
    file = logging.FileHandler(log, encoding="utf-8", delay=True)
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    screen = logging.StreamHandler()
    screen.setLevel(logging.WARNING)
    screen.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    loggers = [logging.getLogger(name) for name in OURS]
    for logger in loggers:
        logger.setLevel(logging.INFO)
        logger.addHandler(file)
        logger.addHandler(screen)
    try:
        with warnings.catch_warnings():
            if not verbose:
                warnings.simplefilter("ignore")
            yield
    finally:
        for logger in loggers:
            logger.removeHandler(file)
            logger.removeHandler(screen)
        file.close()
