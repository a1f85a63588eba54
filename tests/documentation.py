"""What stands in pages: blocks by language, and the commands in those for a shell."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[1]
HOW_TO = sorted((ROOT / "docs" / "how-to").glob("*.md"))
DEPLOY = ROOT / "cluster" / "deploy" / "README.md"
PAGES = [ROOT / "README.md", ROOT / "docs" / "tutorial.md", *HOW_TO, DEPLOY]
"""Written by hand, in the order in which a reader goes through them."""
_FENCE = re.compile(r"^```(.*)$")
_ASSIGNMENT = re.compile(r"^\w+=")
_OURS = re.compile(r"`python cli\.py ([^`]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block: where it begins, its language, its lines."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT).as_posix()}:{self.line}"


@dataclass(frozen=True)
class Command:
    """One command of a shell: its words without assignments, and what it reads and writes."""

    words: tuple[str, ...]
    reads: "Command | None" = None
    writes: str | None = None

    def chain(self) -> "Iterator[Command]":
        """Yield it, and what stands before it in its pipe."""
        yield self
        if self.reads is not None:
            yield from self.reads.chain()

    @property
    def ours(self) -> tuple[str, ...] | None:
        """Return the arguments for our command line; None if it is another program's."""
        if self.words[:2] == ("python", "cli.py"):
            return self.words[2:]
        return self.words[1:] if self.words[:1] == ("qpmstudy",) else None


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page.

    Raises:
        ValueError: a block is indented instead, or is not closed.
    """
    language, begin, inside = None, 0, list[str]()
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if language is None and fence:
            language, begin, inside = fence[1], number, []
        elif fence:
            assert language is not None
            yield Block(page, begin, language, "\n".join(inside) + "\n")
            language = None
        elif language is not None:
            inside.append(line)
        elif line.startswith("    "):
            raise ValueError(f"{page}:{number} is indented: fence it, with its language")
    if language is not None:
        raise ValueError(f"{page}:{begin} has no end")


def commands(text: str) -> Iterator[Command]:
    """Yield the commands of a shell block, those behind a pipe with what they read.

    Of `bash -c TEXT`, wherever it stands in a command, those of the text follow.
    """
    for line in text.replace("\\\n", " ").splitlines():
        words: list[str] = []
        reads: Command | None = None
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&|>")
        lexer.whitespace_split = True
        for word in [*lexer, "&&"]:
            if word == "|":
                reads, words = _command(words, reads), []
            elif word == "&&":
                if words:
                    yield _command(words, reads)
                if words[-3:-1] == ["bash", "-c"]:
                    yield from commands(words[-1])
                words, reads = [], None
            else:
                words.append(word)


def _command(words: list[str], reads: Command | None) -> Command:
    while words and _ASSIGNMENT.match(words[0]):
        words = words[1:]
    writes = None
    if ">" in words:
        at = words.index(">")
        words, (writes,) = words[:at], words[at + 1 :]
    return Command(tuple(words), reads, writes)


def inline(page: Path) -> Iterator[tuple[str, ...]]:
    """Yield the arguments of every whole command that stands within a sentence."""
    for found in _OURS.finditer(page.read_text(encoding="utf-8")):
        yield tuple(shlex.split(found[1]))


def parsed(program: click.Command, arguments: tuple[str, ...]) -> click.Context:
    """Return the context of a command with its arguments parsed, without running it.

    Raises:
        click.UsageError: there is no such command or option, or an argument is wrong.
    """
    name: str | None = "qpmstudy"
    command, rest = program, list(arguments)
    context: click.Context | None = None
    while True:
        context = command.make_context(name, rest, parent=context)
        if not isinstance(command, click.Group):
            return context
        name, inner, rest = command.resolve_command(
            context, [*context._protected_args, *context.args]
        )
        assert inner is not None
        command = inner
