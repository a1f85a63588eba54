"""Lets the tests of this folder import their helpers, in pytest's importlib mode too."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "benchmarks" / "select")]
