"""All selection solvers side by side on generated instances, each solve in its own process.

    python -m tests.benchmarks.select.compare --sizes 64x30 512x200 --time-limit 60

Prints one Markdown row a solve: objective, bound, gap, seconds and peak memory of the process.
"""

import argparse
import multiprocessing
import resource
from multiprocessing.connection import Connection

from qpmstudy.errors import QpmStudyError
from qpmstudy.selection import SOLVERS, solve
from tests.benchmarks.select.selection_instances import SIZES, generated

GRACE = 2.0
"""A solve that takes this many times its limit is ended without an answer."""
HEADER = "| instance | solver | objective | bound | gap % | status | seconds | MiB |"


def measured(
    size: str, seed: int, solver: str, gap: float, limit: float, reply: Connection
) -> None:
    """Send the row of one solve."""
    problem = generated(*SIZES[size], seed=seed)
    try:
        answer = solve(problem, solver, gap=gap, time_limit=limit, seed=seed)
    except QpmStudyError as error:
        reply.send([str(error).split(":")[0], "", "", "refused", "", ""])
        return
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    row = [f"{answer.objective:.3f}", f"{answer.bound:.3f}", f"{100 * answer.gap:.3f}"]
    reply.send([*row, answer.status.value, f"{answer.seconds:.2f}", f"{peak:.0f}"])


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
        cells = receive.recv() if receive.poll(patience) else ["", "", "", "ended", "", ""]
    except EOFError:
        cells = ["", "", "", "died", "", ""]
    process.kill()
    process.join()
    return [f"{size} seed {seed}", solver, *cells]


def main() -> None:
    """Run every solver on every size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    solvers = [name for name in SOLVERS.names() if name != "auto"]
    parser.add_argument("--solvers", nargs="+", choices=solvers, default=solvers)
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
