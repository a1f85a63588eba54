"""Predictions in words, as JSON and as rows of a table."""

import difflib
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from qpmstudy.errors import ConfigError
from qpmstudy.explain.contrast import contrast_facts
from qpmstudy.inference import Prediction, TokenModel

COLUMNS = ("image", "rank", "class", "probability", "logit", "bias", "contributions")
NAMED = 5
ALL_NAMED = 12
"""So many classes are all named where somebody meant none of them."""
ABSENT = "by its absence"
FIRES = 0.25
"""Share of its usual peak below which a feature is absent."""


def find_class(model: TokenModel, wanted: str) -> int:
    """Return the class that a person means by its name, or by a part of it that no other has.

    Raises:
        ConfigError: no class, or several, are called that.
    """
    names = model.class_names
    if wanted in names:
        return names.index(wanted)
    folded = wanted.casefold()
    found = [label for label, name in enumerate(names) if folded in name.casefold()]
    if len(found) == 1:
        return found[0]
    if found:
        some = ", ".join(names[label] for label in found[:NAMED])
        raise ConfigError(
            f"{len(found)} of the model's {len(names)} classes have {wanted!r} in their name: "
            f"{some}{', ...' if len(found) > NAMED else ''}. Give more of the one you mean."
        )
    if len(names) <= ALL_NAMED:
        there = f"there are {', '.join(names)}"
    else:
        close = difflib.get_close_matches(wanted, names, NAMED, cutoff=0.3) or names[:NAMED]
        there = f"closest are {', '.join(close)} (all are class_names in model.json)"
    raise ConfigError(f"None of the model's {len(names)} classes is called {wanted!r}; {there}.")


def rival(prediction: Prediction, against: int | None) -> int | None:
    """Return the class to contrast the predicted one with: `against`, or else the runner-up.

    None where nobody asked, or the model knows one class only.
    """
    if against is None or len(prediction.logits) < 2:
        return None
    best, second = prediction.top(2)
    return second if best == against else against


def prediction_json(
    path: Path, prediction: Prediction, model: TokenModel, top: int, against: int | None = None
) -> dict[str, Any]:
    """Return an image's prediction as JSON types: the best classes, each with its features.

    For each of them "bias" and "contributions" add up to "logit". With `against`, the features
    that decide between the best class and another one, as `contrast_facts` has them; where it is
    the best class itself, "instead_of" says so and the other one is the runner-up.
    """
    best = prediction.top(top)
    found: dict[str, Any] = {
        "image": str(path),
        "class": model.class_names[best[0]],
        "probability": float(prediction.probabilities[best[0]]),
        "top": [
            {
                "class": model.class_names[label],
                "probability": float(prediction.probabilities[label]),
                "logit": float(prediction.logits[label]),
                "bias": float(prediction.bias[label]),
                "contributions": {
                    str(model.selected[feature]): float(prediction.contributions[label, feature])
                    for feature in prediction.used(label)
                },
            }
            for label in best
        ],
    }
    other = rival(prediction, against)
    if other is not None:
        found["against"] = contrast_facts(model, prediction, best[0], other)
        if other != against:
            found["against"]["instead_of"] = found["class"]
    return found


def prediction_text(
    path: Path, prediction: Prediction, model: TokenModel, top: int, against: int | None = None
) -> str:
    """Return an image's prediction in a few lines: best classes, and why the best one."""
    best = prediction.top(top)
    lines = [str(path)]
    lines += [f"  {prediction.probabilities[c]:6.1%}  {model.class_names[c]}" for c in best]
    lines.append(f"  because: {_reasons(prediction, model, best[0])}")
    other = rival(prediction, against)
    if other is not None:
        facts = contrast_facts(model, prediction, best[0], other)
        terms = [
            _Term(f"feature {number}", value, _absent(prediction, model, number, (best[0], other)))
            for number, value in facts["features"].items()
        ]
        if facts["bias"]:
            terms.append(_Term("bias", facts["bias"]))
        if other != against:
            lines.append(f"  {model.class_names[best[0]]} is what it says; against the runner-up:")
        lines.append(f"  rather than {facts['class']}: {_sum(terms, '', facts['difference'])}")
    return "\n".join(lines)


def prediction_rows(
    path: Path, prediction: Prediction, model: TokenModel, top: int
) -> list[tuple[str, ...]]:
    """Return a row of `COLUMNS` for each of an image's best classes.

    Bias and contributions, "feature:value" each, add up to the logit.
    """
    return [
        (
            str(path),
            str(rank),
            model.class_names[label],
            f"{prediction.probabilities[label]:.4f}",
            f"{prediction.logits[label]:.4f}",
            f"{prediction.bias[label]:.4f}",
            " ".join(
                f"{model.selected[f]}:{prediction.contributions[label, f]:+.4f}"
                for f in prediction.used(label)
            ),
        )
        for rank, label in enumerate(prediction.top(top), start=1)
    ]


class _Term(NamedTuple):
    name: str
    value: float
    absent: bool = False


def _reasons(prediction: Prediction, model: TokenModel, label: int) -> str:
    terms = [
        _Term(f"feature {model.selected[f]}", float(prediction.contributions[label, f]))
        for f in prediction.used(label)
    ]
    if prediction.bias.any():  # QPM has none
        terms.append(_Term("bias", float(prediction.bias[label])))
    return _sum(terms, "logit ", float(prediction.logits[label]))


def _sum(terms: Sequence[_Term], name: str, total: float) -> str:
    """Return terms and what they come to; says so where the rounded ones come to another sum."""
    words = "  ".join(
        f"{one.name} {one.value:+.2f}{f' {ABSENT}' if one.absent else ''}" for one in terms
    )
    exact = sum(Decimal(f"{one.value:.2f}") for one in terms) == Decimal(f"{total:.2f}")
    return f"{words}  = {name}{total:+.2f}{'' if exact else ' (terms are rounded)'}"


def _absent(prediction: Prediction, model: TokenModel, number: str, classes: Sequence[int]) -> bool:
    """Return whether a feature decides between classes by not firing where it could.

    What it adds to a class that uses it then has another sign than its weight there.
    """
    feature = model.selected.index(int(number))
    strength = prediction.feature_maps[:, feature].max() / model.peak[feature].clamp(1e-12)
    weight = model.classifier.weight[:, feature]
    added = prediction.contributions[:, feature]
    against = any(float(added[label]) * float(weight[label]) < 0 for label in classes)
    return against and float(strength) < FIRES
