"""Whom to tell how far something is that takes its time."""

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called with how much is done, and how much there is."""
PhaseProgress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""
