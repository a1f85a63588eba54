"""Completion in the shell, by the script that click makes for the installed program."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from documentation import ROOT

PROGRAM = "import sys, cli; sys.argv[0] = 'qpmstudy'; cli.program()"


def completed(shell: str, words: str, count: int) -> list[str]:
    """Return what is offered for the word that stands at position `count`."""
    environment = os.environ | {
        "_QPMSTUDY_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(count),
    }
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment, cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return found.stdout.splitlines()


def test_the_installed_program_is_this_command_line() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"qpmstudy": "cli:program"}


def test_subcommands_options_and_choices() -> None:
    offered = completed("bash", "qpmstudy study ", 2)
    assert {"plain,launch", "plain,pareto", "plain,report"} <= set(offered)
    assert completed("bash", "qpmstudy study la", 2) == ["plain,launch"]
    assert completed("bash", "qpmstudy study launch --ext", 3) == ["plain,--extend"]
    assert completed("bash", "qpmstudy infer m i --format j", 5) == ["plain,json"]
    assert "dir," in completed("bash", "qpmstudy verify ", 2)


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash to complete in")
def test_bash_itself_completes(tmp_path: Path) -> None:
    program = tmp_path / "qpmstudy"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{PROGRAM}"\n')
    program.chmod(0o755)
    script = (
        'eval "$(_QPMSTUDY_COMPLETE=bash_source qpmstudy)"\n'
        "complete -p qpmstudy\n"
        "COMP_WORDS=(qpmstudy study p) COMP_CWORD=2\n"
        "_qpmstudy_completion qpmstudy\n"
        'echo "${COMPREPLY[@]}"\n'
    )
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    found = subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    *_, registered, offered = found.stdout.splitlines()
    assert registered.endswith("-F _qpmstudy_completion qpmstudy")
    assert offered.split() == ["pareto", "plan"]
