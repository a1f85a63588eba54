"""The same question to plain Ray Tune: drivers are killed, and go on by Tuner.restore.

    python -m tests.faults.plain_tune FOLDER      one driver, for the first time or again

A run is a function trainable of about a second that appends its name to a list on disk once it is
through: what stands there twice was done twice.
"""

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

TRIALS, SEEDS = 12, 2
NAME = "plain"


def work(config: Mapping[str, Any]) -> None:
    """Compute for about a second, then say so on disk and to Tune."""
    from ray import tune

    order = np.random.default_rng(config["seed"])
    until = time.perf_counter() + 1.0
    while time.perf_counter() < until:
        matrix = order.standard_normal((200, 200))
        score = float(np.linalg.norm(matrix @ matrix)) + config["trial"]
    handle = os.open(config["finished"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{config['trial']} {config['seed']}\n".encode())
    os.close(handle)
    tune.report({"score": score})


def drive(folder: Path) -> None:
    """Run what is left, by Tune's own book-keeping, and write what it knows in the end."""
    import ray
    from ray import tune

    import cluster  # noqa: F401  # its environment: loopback alone, with a token
    from cluster.auth_token import ensure_token

    ensure_token()
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    where = folder / "tune" / NAME
    if where.exists() and tune.Tuner.can_restore(str(where)):
        tuner = tune.Tuner.restore(
            str(where), trainable=work, resume_unfinished=True, resume_errored=True
        )
    else:
        tuner = tune.Tuner(
            work,
            param_space={
                "trial": tune.grid_search(list(range(TRIALS))),
                "seed": tune.grid_search(list(range(SEEDS))),
                "finished": str(folder / "finished"),
            },
            run_config=tune.RunConfig(name=NAME, storage_path=str(folder / "tune"), verbose=0),
        )
    known = [
        [result.config["trial"], result.config["seed"]]
        for result in tuner.fit()
        if result.error is None and "score" in (result.metrics or {})
    ]
    (folder / "results.json").write_text(json.dumps(known))


def killed(folder: Path, order: random.Random, kills: int, pace: float) -> tuple[int, Counter[str]]:
    """Kill drivers of one study until it ends or the kills are used up; return what was seen.

    A kill is due within `pace` seconds of each launch.
    """
    folder.mkdir(parents=True)
    used, seen = 0, Counter[str]()
    while not (folder / "results.json").exists():
        seen["launches"] += 1
        with (folder / f"driver-{seen['launches']}.txt").open("wb") as file:
            driver = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.plain_tune", str(folder)],
                env={k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        try:
            driver.wait(timeout=order.uniform(0.0, pace) if used < kills else 300)
        except subprocess.TimeoutExpired:
            done = len(_finished(folder))
            print(f"  plain Tune's driver killed, {done} runs finished", flush=True)
            driver.kill()
            driver.wait(timeout=30)
            used += 1
        else:
            assert driver.returncode == 0, f"it ended with {driver.returncode}: see {folder}"
    finished = _finished(folder)
    known = json.loads((folder / "results.json").read_text())
    seen["runs"] = TRIALS * SEEDS
    seen["finished runs done again"] = len(finished) - len(set(finished))
    seen["results missing"] = TRIALS * SEEDS - len({tuple(pair) for pair in known})
    return used, seen


def _finished(folder: Path) -> list[str]:
    path = folder / "finished"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


if __name__ == "__main__":
    drive(Path(sys.argv[1]))
