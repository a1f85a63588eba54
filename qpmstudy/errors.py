"""The errors this project raises for its users, all under one root.

A message names the object, the rule it broke, the value it had and what to do next.
The command line prints the message alone; a traceback is reserved for our own bugs.
"""


class QpmStudyError(Exception):
    """Root of every error that is meant for a user."""


class ConfigError(QpmStudyError):
    """A study file, option or argument asks for something that is not allowed."""


class DataError(QpmStudyError):
    """Images, embeddings, artifacts or models on disk are missing, foreign or damaged."""


class UnwritableError(QpmStudyError, OSError):
    """The file system refuses to write: it is full, read-only, or not ours.

    No fault of what was to be written: mended, the same command goes on.
    """


class NotInstalledError(QpmStudyError):
    """A registered choice needs an optional package that is not installed."""


class SolverError(QpmStudyError):
    """The selection problem has no solution, or the solver asked for cannot solve it."""


class NonFiniteError(QpmStudyError):
    """A loss or metric became NaN or infinite."""


class WorkerError(QpmStudyError):
    """A process that works for this one ended before its work was done."""


class StoreError(QpmStudyError):
    """The place of a store of embeddings cannot be reached, or another process writes there."""
