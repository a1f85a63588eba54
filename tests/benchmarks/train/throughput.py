"""How near the training loop comes to the machine's matrix products, measured in turns with them.

    python -m tests.benchmarks.train.throughput --threads 2
    python -m tests.benchmarks.train.throughput --device cuda --images 5000
    python -m tests.benchmarks.train.throughput --beside ../another-checkout

Needs torch, numpy, schedulefree and qpmstudy. Counted are the products of the adapter's layers:
2 T sum(in * out) forward for T tokens, as many for the weights' gradients, and for the inputs'
gradients of all layers but the first, whose inputs are frozen. After every epoch the peak is
measured anew: the faster of a square product and the loop's own largest, in the loop's precision.
The share is the median over epochs. The first epoch of a process, which touches memory for the
first time, does not count. With --beside, two versions of qpmstudy take turns, process by process.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
import torch

HERE = Path(__file__).parents[3]
COLUMNS = ("code", "images/s", "s an epoch", "model GFLOP/s", "peak GFLOP/s", "share", "range")


@dataclass(frozen=True)
class Case:
    """What is trained, and on what."""

    widths: list[int]
    patches: int
    images: int
    batch: int
    classes: int
    epochs: int
    device: str
    threads: int
    l1: float

    @property
    def flops(self) -> float:
        """Return the floating-point operations of the layers' products in an epoch."""
        products = [inputs * outputs for inputs, outputs in pairwise(self.widths)]
        return 2.0 * self.images * self.patches * (3 * sum(products) - products[0])


def seconds_of(work: Callable[[], object], device: str) -> float:
    """Return the time a call takes, of as many calls as fill a fifth of a second."""
    calls, start = 0, time.perf_counter()
    while time.perf_counter() - start < 0.2:
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        calls += 1
    return (time.perf_counter() - start) / calls


def peak(case: Case) -> float:
    """Return the floating-point operations a second of the faster of two products."""
    rows, hidden = case.batch * case.patches, max(case.widths[1:])
    side = 8192 if case.device == "cuda" else 2048
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if case.device == "cuda" else before)
    rates = []
    for shape in ((rows, hidden, hidden), (side, side, side)):
        left = torch.ones(shape[:2], device=case.device)
        right = torch.ones(shape[1:], device=case.device)
        out = torch.empty(shape[0], shape[2], device=case.device)
        torch.mm(left, right, out=out)
        seconds = seconds_of(lambda a=left, b=right, c=out: torch.mm(a, b, out=c), case.device)
        rates.append(2.0 * np.prod(shape) / seconds)
    torch.set_float32_matmul_precision(before)
    return float(max(rates))


def measure(case: Case) -> list[tuple[float, float]]:
    """Train on noise and return (seconds, peak) of every epoch but the first."""
    from qpmstudy.adapter import Adapter
    from qpmstudy.batches import LabelledTokens
    from qpmstudy.classifier import Classifier
    from qpmstudy.embeddings import Embeddings
    from qpmstudy.heads import DenseHead
    from qpmstudy.training import Recipe, train

    torch.set_num_threads(case.threads)
    rng = np.random.default_rng(0)
    shape = (case.images, case.patches, case.widths[0])
    tokens = rng.standard_normal(shape, dtype=np.float32).astype(np.float16)
    embeddings = Embeddings(
        dataset="noise",
        backbone="none",
        fingerprint="noise",
        class_names=tuple(map(str, range(case.classes))),
        grid=(1, case.patches),
        preprocessing={},
        weight_hash="",
        patches=[tokens],
        cls=tokens[:, 0],
        labels=np.arange(case.images) % case.classes,
        splits=np.array(["train"] * case.images),
        masks=None,
        ids=tuple(map(str, range(case.images))),
        image_root="",
    )
    generator = torch.Generator().manual_seed(0)
    inputs, *hidden, features = case.widths
    adapter = Adapter(inputs, hidden[0], features, len(hidden) + 1, generator)
    model = Classifier(adapter, DenseHead(features, case.classes, 0.2, generator))
    recipe = Recipe(case.epochs + 1, case.batch, 1e-3, 7e-4, div=0.5, l1_fm=case.l1)
    found: list[tuple[float, float]] = []
    train(
        model.to(case.device),
        LabelledTokens(embeddings, np.arange(case.images)),
        recipe,
        seed=0,
        on_epoch=lambda record: found.append((record["seconds"], peak(case))),
    )
    return found[1:]


def row(name: str, case: Case, epochs: list[tuple[float, float]]) -> list[str]:
    """Return the cells of one version of the code."""
    seconds = median(taken for taken, _ in epochs)
    shares = sorted(case.flops / taken / best for taken, best in epochs)
    return [
        name,
        f"{case.images / seconds:.0f}",
        f"{seconds:.2f}",
        f"{case.flops / seconds / 1e9:.1f}",
        f"{median(best for _, best in epochs) / 1e9:.1f}",
        f"{median(shares):.1%}",
        f"{shares[0]:.1%} to {shares[-1]:.1%}",
    ]


def main() -> None:
    """Measure in child processes, in turns, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--widths", type=int, nargs="+", default=[384, 512, 512, 512, 128])
    parser.add_argument("--patches", type=int, default=256)
    parser.add_argument("--images", type=int, default=320)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--classes", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=3, help="of each process")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--l1", type=float, default=0.0, help="weight of L1-FM")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--beside", type=Path, help="folder that holds another qpmstudy")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = vars(parser.parse_args())
    rounds, beside, child = (options.pop(name) for name in ("rounds", "beside", "child"))
    case = Case(**options)
    if child:
        print(json.dumps(measure(Case(**json.loads(sys.stdin.read())))))
        return
    codes = {"here": HERE} | ({"beside": beside.resolve()} if beside else {})
    epochs: dict[str, list[tuple[float, float]]] = {name: [] for name in codes}
    for _ in range(rounds):
        for name, folder in codes.items():
            epochs[name] += in_a_child(case, folder)
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|")
    for name in codes:
        print("| " + " | ".join(row(name, case, epochs[name])) + " |")


def in_a_child(case: Case, folder: Path) -> list[tuple[float, float]]:
    """Return what `measure` finds with the qpmstudy of that folder."""
    threads = str(case.threads)
    answer = subprocess.run(
        [sys.executable, __file__, "--child"],
        input=json.dumps(asdict(case)),
        env={**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": threads},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: list[tuple[float, float]] = json.loads(answer.stdout)
    return found


if __name__ == "__main__":
    main()
