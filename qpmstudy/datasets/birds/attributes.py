"""Which attributes each class has: a random tree on the Hamming graph of attribute codes.

Every value is shared by several classes and every class has a neighbour that differs from it
in one attribute. Sharing is what makes features general: a prototype with families of classes
that differed in one private part could not be learned (45 %).
"""

from collections import Counter
from typing import NamedTuple

import numpy as np


class Code(NamedTuple):
    """The six attributes of a bird."""

    body: str
    crown: str
    throat: str
    breast: str
    wing: str
    tail: str


# In the order of Code. The first value of crown, throat and wing is the body's own colour.
VALUES = (
    ("brown", "gray", "olive", "blue"),
    ("same", "red", "black", "yellow"),
    ("same", "black", "yellow"),
    ("plain", "streak", "spot", "band"),
    ("same", "black", "bars", "patch"),
    ("short", "long", "fork", "tipped"),
)

# Share of the tree's branches that start three attributes away from their parent.
FAR_BRANCH = 0.3

# Trees drawn for one set of classes.
DRAWS = 300


def random_code(generator: np.random.Generator) -> Code:
    """Return a code with every attribute uniform over its values."""
    return Code(*(str(generator.choice(values)) for values in VALUES))


def class_codes(classes: int, seed: int) -> list[Code]:
    """Return the codes of the classes: distinct, each with a neighbour at distance one.

    A tree inherits most of its root's values, so one draw leaves a body colour on two thirds
    of the classes: of many draws the most balanced is kept.
    """
    generator = np.random.default_rng([seed, classes])
    return min((_random_tree(classes, generator) for _ in range(DRAWS)), key=_imbalance)


def _random_tree(classes: int, generator: np.random.Generator) -> list[Code]:
    """Return codes grown from a random one by changing attributes of earlier codes."""
    codes = [random_code(generator)]
    # A far branch adds two codes, so F far ones of B branches fill B + F + 1 classes. Their
    # number is fixed: left to chance, the most balanced draw is the one with the most of them.
    far_branches = round((classes - 1) * FAR_BRANCH / (1 + FAR_BRANCH))
    branches = classes - 1 - far_branches
    # The first branch is near, for the root needs a neighbour as well.
    far = 1 + generator.permutation(branches - 1)[:far_branches]
    for branch in range(branches):
        parent = codes[int(generator.integers(len(codes)))]
        if branch in far:
            parent = _mutated(parent, 3, codes, generator)
            codes.append(parent)
        codes.append(_mutated(parent, 1, codes, generator))
    return codes


def _imbalance(codes: list[Code]) -> float:
    """Return the mean squared distance of value counts from equal ones, over all attributes."""
    total = 0.0
    for values, column in zip(VALUES, zip(*codes, strict=True), strict=True):
        share = len(codes) / len(values)
        total += sum((column.count(value) / share - 1) ** 2 for value in values) / len(values)
    return total


def class_name(number: int, code: Code) -> str:
    """Return a folder name like CUB's, "001.Olive_red_crown", with what is not the default."""
    words = [code.body.capitalize()]
    for attribute, value, values in zip(Code._fields[1:], code[1:], VALUES[1:], strict=True):
        if value != values[0]:
            words.append(f"{value}_{attribute}")
    return f"{number:03d}.{'_'.join(words)}"


def _mutated(parent: Code, changes: int, codes: list[Code], generator: np.random.Generator) -> Code:
    """Return a new code that differs from `parent` in `changes` attributes.

    Attributes whose value in `parent` is the most over-used change first, each to its
    least-used other value; ties are drawn.
    """
    counts = [Counter(column) for column in zip(*codes, strict=True)]
    options = []
    for place, values in enumerate(VALUES):
        for value in values:
            if value != parent[place]:
                excess = (counts[place][parent[place]] - counts[place][value]) * len(values)
                options.append((excess, float(generator.random()), place, value))
    options.sort(reverse=True)
    while True:
        chosen: dict[int, str] = {}
        for _, _, place, value in options:
            if place not in chosen and len(chosen) < changes:
                chosen[place] = value
        child = Code(*(chosen.get(place, value) for place, value in enumerate(parent)))
        if child not in codes:
            return child
        options.pop(0)
