"""Running the command line: in a process of its own, as a person does, or in this one."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from cli import main

CLI = Path(__file__).resolve().parents[1] / "cli.py"

SMOKE = """\
name: {name}
pipeline:
  embeddings: {{dataset: birds-smoke}}
  adapter: {{depth: 3, hidden: 32, features: 32}}
  dense: {{epochs: {epochs}, batch: 16, lr: 1e-2}}
  select: {{features: 10, per_class: 3, gap: 0.2, solver: lagrangian}}
  finetune: {{epochs: {epochs}, batch: 16, lr: 2e-2, l1_fv: 0}}
space:
  finetune.l1_fm: {{values: {values}}}
seeds: {seeds}
"""


def smoke_study(
    folder: Path, name: str = "smoke", values: str = "[0, 2]", seeds: int = 2, epochs: int = 2
) -> Path:
    """Write a study of a few seconds and return its path."""
    path = folder / f"{name}.yaml"
    path.write_text(SMOKE.format(name=name, values=values, seeds=seeds, epochs=epochs))
    return path


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Finished:
    """A study that has run, and its exported models."""

    root: Path
    study: Path
    launched: Result
    models: Path


def start(*arguments: object, cwd: Path | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(CLI), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
    )


def run(*arguments: object, cwd: Path | None = None, timeout: float = 240) -> Result:
    process = start(*arguments, cwd=cwd)
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return Result(process.returncode, out, err)


def here(*arguments: object) -> Result:
    """Run a command in this process, which has imported torch already.

    An error that is not one of ours comes out as itself.
    """
    found = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if found.exception and not isinstance(found.exception, SystemExit):
        raise found.exception
    return Result(found.exit_code, found.stdout, found.stderr)


def refused(result: Result, code: int, *words: str) -> None:
    """Check that a command ended with one clear message: exit code, words, no traceback."""
    assert result.code == code, result.err + result.out
    assert "Traceback" not in result.err + result.out
    for word in words:
        assert word in result.err, f"{word!r} is not in: {result.err}"
