"""Where it runs: Ray, Tune, Optuna, TensorBoard, and what a person sees meanwhile."""

import os

from cluster.addresses import BEYOND, is_loopback

# Read when ray is imported or started, so that they stand here: nothing of this package can be
# imported before. Token authentication is always on; usage statistics leave the machine, so they
# are off.
os.environ["RAY_AUTH_MODE"] = "token"
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # the old output is silent when asked to be
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # Ctrl-C stops now: nothing is lost
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "3600")  # its snapshots are never restored
if is_loopback(os.environ.get("RAY_ADDRESS")):
    os.environ[BEYOND] = "0"
