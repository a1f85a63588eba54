"""The small study that is killed, and the processes that it consists of."""

from pathlib import Path

import psutil

from tests.command import CLI, run
from tests.faults.family import command, family

NAME = "fuzzed"
STUDY = f"""\
name: {NAME}
pipeline:
  embeddings: {{dataset: birds-smoke}}
  adapter: {{depth: 2, hidden: 16, features: 32}}
  dense: {{epochs: 2, batch: 16, lr: 1e-2}}
  select: {{features: 10, per_class: 3, gap: 0.2, solver: lagrangian}}
  finetune: {{epochs: 2, batch: 16, lr: 2e-2, l1_fv: 0}}
space:
  dense.lr: {{values: [1e-2, 2e-2]}}
  finetune.l1_fm: {{values: {{VALUES}}}}
seeds: 2
parallel: 3
"""
LINES = {
    "stage": tuple(f"ray::{s}" for s in ("dense", "select", "finetune", "evaluate")),
    "coordinator": ("ray::ResourceTrainable", "ray::ImplicitFunc", "ray::TrialCoordinator"),
    "ledger": ("ray::StageLedger",),
}
"""How the command lines of victims begin."""


def busy() -> list[psutil.Process]:
    """Return every process of a study that runs below this one."""
    lines = tuple(line for kind in LINES.values() for line in kind)
    return [p for p in family() if command(p).startswith(lines) or str(CLI) in command(p)]


def prepared(folder: Path, trials: int) -> tuple[Path, Path]:
    """Return the study's file and a storage root with its embeddings."""
    study = folder / "study.yaml"
    study.write_text(STUDY.replace("{VALUES}", str([n / 2 for n in range(trials // 2)])))
    embedded = folder / "embedded"
    made = run("embed", "--dataset", "birds-smoke", "--root", embedded)
    assert made.code == 0, made.err
    return study, embedded
