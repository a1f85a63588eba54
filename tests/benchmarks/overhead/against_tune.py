"""Trials whose stages are all stored, beside as many of plain Ray Tune that do nothing.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.overhead.against_tune --trials 200

Ours commit a durable row each, TensorBoard's events and picture, and the ledger. Plain Tune reuses
its actors and has its usual settings; starting Ray, which ours do without, is left out of its time.
Each measurement is a process of its own, in turns.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from statistics import median

from tests.benchmarks.overhead.stored import in_a_child

SETTINGS = ("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "RAY_AIR_NEW_OUTPUT", "TUNE_GLOBAL_CHECKPOINT_S")
"""What importing our cluster sets otherwise than Tune does by itself."""


def theirs(trials: int, folder: Path) -> float:
    """Return the seconds that Tune takes for trials that do nothing."""
    from cluster.auth_token import ensure_token

    for name in SETTINGS:
        os.environ.pop(name, None)
    import ray
    from ray import tune

    class Nothing(tune.Trainable):
        def step(self) -> dict[str, object]:
            return {"done": True, "score": self.config["x"]}

        def reset_config(self, new_config: dict[str, object]) -> bool:
            return True

    ensure_token()
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    tuner = tune.Tuner(
        Nothing,
        param_space={"x": tune.grid_search(list(range(trials)))},
        tune_config=tune.TuneConfig(reuse_actors=True, max_concurrent_trials=2),
        run_config=tune.RunConfig(
            name="nothing",
            storage_path=str(folder),
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    start = time.perf_counter()
    results = tuner.fit()
    seconds = time.perf_counter() - start
    assert not results.errors
    assert sorted(result.metrics["score"] for result in results) == list(range(trials))
    return seconds


def main() -> None:
    """Measure in child processes, in turns, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(theirs(given.trials, Path(folder))))
        return
    mine, tune = [], []
    for _ in range(given.rounds):
        tune.append(in_a_child("against_tune", given.trials))
        mine.append(in_a_child("stored", given.trials))
    print("| | seconds | range | ms a trial |\n|---|---|---|---|")
    for name, found in (("plain Tune, trials that do nothing", tune), ("stored trials", mine)):
        middle, spread = median(found), f"{min(found):.2f} to {max(found):.2f}"
        print(f"| {name} | {middle:.2f} | {spread} | {1000 * middle / given.trials:.1f} |")
    shares = [ours / plain for ours, plain in zip(mine, tune, strict=True)]
    print(f"\nshare: {median(shares):.2f} ({min(shares):.2f} to {max(shares):.2f})")


if __name__ == "__main__":
    main()
