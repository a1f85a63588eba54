"""All selection solvers side by side on generated instances, each solve in its own process.

    python -m tests.benchmarks.select.compare --sizes 64x30 512x200 --time-limit 60

Prints one Markdown row a solve: the objective after 2 s and the bound after 10 s, objective,
bound, gap, seconds and peak memory of the process. "highs-alone" is HiGHS without our first
answer and cuts, "highs-lp" the linear relaxation of the same model; both only where asked for.
"""

import argparse
import math
import multiprocessing
import resource
from collections.abc import Iterable
from multiprocessing.connection import Connection

from qpmstudy.errors import QpmStudyError
from qpmstudy.selection import SOLVERS, Progress, solve
from qpmstudy.selection.base import relative_gap
from tests.benchmarks.select.highs_alone import ALONE, solve_alone
from tests.benchmarks.select.selection_instances import SIZES, generated

GRACE = 2.0
"""A solve that takes this many times its limit is ended without an answer."""
HEADER = (
    "| instance | solver | objective at 2 s | bound at 10 s | objective | bound | gap % "
    "| status | seconds | MiB |"
)
EMPTY = [""] * 5
EARLY, LATER = 2.0, 10.0
"""Seconds after which the progress is looked at."""


def measured(
    size: str, seed: int, solver: str, gap: float, limit: float, reply: Connection
) -> None:
    """Send the row of one solve."""
    problem = generated(*SIZES[size], seed=seed)
    try:
        if solver in ALONE:
            objective, bound, status, seconds = solve_alone(problem, solver, gap, limit)
            trace: tuple[Progress, ...] = ()
        else:
            answer = solve(problem, solver, gap=gap, time_limit=limit, seed=seed)
            objective, bound, seconds = answer.objective, answer.bound, answer.seconds
            status, trace = answer.status.value, answer.trace
    except QpmStudyError as error:
        reply.send(["", "", str(error).split(":")[0], "", "", "refused", "", ""])
        return
    early = max((step.objective for step in trace if step.seconds <= EARLY), default=math.nan)
    later = min((step.bound for step in trace if step.seconds <= LATER), default=math.nan)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    gap_reached = 100 * relative_gap(objective, bound)
    values = numbers([early, later, objective, bound, gap_reached])
    reply.send([*values, status, f"{seconds:.2f}", f"{peak:.0f}"])


def numbers(values: Iterable[float]) -> list[str]:
    """Return numbers as cells, a dash for what there is not."""
    return [f"{value:.3f}" if math.isfinite(value) else "-" for value in values]


def row(size: str, seed: int, solver: str, gap: float, limit: float) -> list[str]:
    """Return the row of one solve, run in a process of its own."""
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    arguments = (size, seed, solver, gap, limit, send)
    process = context.Process(target=measured, args=arguments, daemon=True)
    process.start()
    send.close()
    patience = GRACE * limit + 60.0
    try:
        cells = receive.recv() if receive.poll(patience) else [*EMPTY, "ended", "", ""]
    except EOFError:
        cells = [*EMPTY, "died", "", ""]
    process.kill()
    process.join()
    return [f"{size} seed {seed}", solver, *cells]


def main() -> None:
    """Run every solver on every size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    solvers = [name for name in SOLVERS.names() if name != "auto"]
    parser.add_argument("--solvers", nargs="+", choices=[*solvers, *ALONE], default=solvers)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--gap", type=float, default=5e-3)
    parser.add_argument("--time-limit", type=float, default=60.0)
    chosen = parser.parse_args()
    print(HEADER)
    print("|---" * HEADER.count("| ") + "|")
    for size in chosen.sizes:
        for seed in chosen.seeds:
            for solver in chosen.solvers:
                cells = row(size, seed, solver, chosen.gap, chosen.time_limit)
                print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
