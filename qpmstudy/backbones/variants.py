"""A backbone's name says which of its tokens are meant.

    dinov2-vitb14-reg@layer=11,norm=no,size=448,precision=bfloat16

layer       the block whose tokens are taken, from 1 (ResNet: the stage); the last unless given
norm        whether the network's final layer norm is applied to them; yes unless given
size        side of the square that is seen, in pixels; 224 unless given
precision   of the matrix products; float32 unless given

All that changes the tokens of an image stands in the name, so that stores, studies and exported
models, which go by it, cannot confuse two of them. One variant has one spelling: options in this
order, defaults left out.
"""

from dataclasses import asdict, dataclass, fields

from qpmstudy.backbones.catalogue import CATALOGUE, SIDE, Entry
from qpmstudy.errors import ConfigError
from qpmstudy.registry import did_you_mean

MAX_SIDE = 2048
PRECISIONS = ("float32", "bfloat16")
ANSWERS = {"yes": True, "no": False}


@dataclass(frozen=True)
class Variant:
    """Which tokens of a pretrained network are taken; `layer` counts from 1."""

    layer: int
    norm: bool = True
    size: int = SIDE
    precision: str = "float32"


OPTIONS = tuple(option.name for option in fields(Variant))


def split_name(name: str) -> tuple[str, dict[str, str]]:
    """Return the registered name in a backbone's name, and its options as they are written.

    Raises:
        ConfigError: what follows "@" is not options, or one comes twice.
    """
    base, at, tail = name.partition("@")
    options: dict[str, str] = {}
    for part in tail.split(",") if at else ():
        key, equals, value = part.partition("=")
        if not (key and equals and value):
            raise ConfigError(
                f"The backbone {name!r} has {part!r} where an option should stand: write "
                f"{base}@layer=11,norm=no."
            )
        if key in options:
            raise ConfigError(f"The backbone {name!r} gives {key} twice: keep one.")
        options[key] = value
    return base, options


def with_option(name: str, key: str, value: str) -> str:
    """Return a backbone's name with one more option, which it must not have yet.

    Raises:
        ConfigError: it has that option with another value, or it is malformed.
    """
    base, options = split_name(name)
    if options.setdefault(key, value) != value:
        raise ConfigError(
            f"The backbone {name!r} says {key}={options[key]}, but {value} was asked for beside "
            "it: say it once."
        )
    if base not in CATALOGUE:  # whoever opens it is told what is wrong
        return f"{base}@{key}={value}"
    return spelled(CATALOGUE[base], variant(base, options))


def refuse_options(base: str, options: dict[str, str]) -> None:
    """Raise if a backbone that is no pretrained network is given options.

    Raises:
        ConfigError: it is.
    """
    if options:
        raise ConfigError(
            f"The backbone {base!r} has no options, but {', '.join(options)} was given: leave out "
            "what follows '@'."
        )


def variant(base: str, options: dict[str, str]) -> Variant:
    """Return the variant of a pretrained backbone that written options mean.

    Raises:
        ConfigError: an option is unknown, or its value is not possible for this backbone.
    """
    entry = CATALOGUE[base]
    for key in options:
        if key not in OPTIONS:
            raise ConfigError(
                f"The backbone {base!r} has no option {key!r}: there are {', '.join(OPTIONS)}."
                + did_you_mean(key, OPTIONS)
            )
    if not entry.final_norm and "norm" in options:
        raise ConfigError(f"The backbone {base!r} has no final norm: leave norm out.")
    layer = _whole(base, "layer", options.get("layer", str(entry.layers)))
    size = _whole(base, "size", options.get("size", str(SIDE)))
    norm = options.get("norm", "yes")
    precision = options.get("precision", PRECISIONS[0])
    rules = (
        (1 <= layer <= entry.layers, "layer", f"1 to {entry.layers}"),
        (norm in ANSWERS, "norm", "yes or no"),
        (
            size % entry.patch == 0 and 0 < size <= MAX_SIDE,
            "size",
            f"a multiple of its patches' {entry.patch} pixels, at most {MAX_SIDE}",
        ),
        (precision in PRECISIONS, "precision", " or ".join(PRECISIONS)),
    )
    for kept, key, rule in rules:
        if not kept:
            raise ConfigError(f"The backbone {base!r} needs {key} to be {rule}: {options[key]!r}.")
    return Variant(layer, ANSWERS[norm], size, precision)


def spelled(entry: Entry, chosen: Variant) -> str:
    """Return the one name of a variant."""
    usual = asdict(Variant(entry.layers))
    words = {True: "yes", False: "no"}
    options = [
        f"{key}={words[value] if isinstance(value, bool) else value}"
        for key, value in asdict(chosen).items()
        if value != usual[key]
    ]
    return f"{entry.name}@{','.join(options)}" if options else entry.name


def parse(name: str) -> tuple[Entry, Variant]:
    """Return what the name of a pretrained backbone means.

    Raises:
        ConfigError: an option is malformed, unknown or impossible, or the variant has another
            spelling.
    """
    base, options = split_name(name)
    entry, chosen = CATALOGUE[base], variant(base, options)
    if name != spelled(entry, chosen):
        raise ConfigError(
            f"The backbone {name!r} is called {spelled(entry, chosen)!r}: stores and results go by "
            "names, so each has one."
        )
    return entry, chosen


def _whole(base: str, key: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise ConfigError(f"The backbone {base!r} needs {key} to be a whole number, not {text!r}.")
    return int(text)
