"""What the fields of a class mean: the string below each of them.

Python keeps no such strings, so they are read from the source, when somebody asks.
"""

import ast
import functools
import inspect
import re
from dataclasses import dataclass
from pathlib import Path

_UNIT = re.compile(r"\s*\[(?P<unit>[^\]]+)\]\.?$")


@dataclass(frozen=True)
class Meaning:
    """What one field means, in words; its unit, if it has one."""

    text: str
    unit: str = ""

    def __str__(self) -> str:
        """Return both in one line."""
        return f"{self.text} [{self.unit}]" if self.unit else self.text


@functools.cache
def meanings(owner: type) -> dict[str, Meaning]:
    """Return the meaning of every field of a class that has one below it.

    `"Stop after this time [seconds]."` is a text, "Stop after this time.", and a unit.
    """
    source = Path(inspect.getfile(owner)).read_text(encoding="utf-8")
    found: dict[str, Meaning] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and node.name == owner.__name__:
            for field, below in zip(node.body, node.body[1:], strict=False):
                name, text = _field(field), _text(below)
                if name is not None and text is not None:
                    found[name] = _meaning(text)
    return found


def _field(node: ast.stmt) -> str | None:
    match node:
        case ast.AnnAssign(target=ast.Name(id=name)):
            return name
    return None


def _text(node: ast.stmt) -> str | None:
    match node:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return text
    return None


def _meaning(text: str) -> Meaning:
    plain = " ".join(text.split())
    unit = _UNIT.search(plain)
    if unit is None:
        return Meaning(plain)
    return Meaning(f"{plain[: unit.start()]}.", unit["unit"])
