"""Imported by every Python whose PYTHONPATH names this folder: its clock jumps by a day, and back.

Each second the time of day is right, a day late, or a day early in turn, as after a clock was set
anew; what only goes forward (`time.monotonic`) does.
"""

import time

DAY = 86_400
_right = time.time


def jumping() -> float:
    """Return the time of day, or what a clock set wrong takes for it."""
    return _right() + DAY * (int(time.monotonic()) % 3 - 1)


time.time = jumping
