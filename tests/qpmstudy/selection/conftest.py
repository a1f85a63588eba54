"""Lets the tests of this folder import `selection_problems`, in pytest's importlib mode too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
