"""Runs the package under shape and type checks, and keeps tests off the network and the screen."""

import os

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from jaxtyping import install_import_hook

# Every annotated function of the science checks its shapes and types while the tests run.
install_import_hook("qpmstudy", "typecheck.checked")
