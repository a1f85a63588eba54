"""Predictions in words, as JSON and as rows of a table."""

import difflib
from pathlib import Path
from typing import Any

from qpmstudy.errors import ConfigError
from qpmstudy.explain.contrast import contrast_facts
from qpmstudy.inference import Prediction, TokenModel

COLUMNS = ("image", "rank", "class", "probability", "logit", "contributions")
NAMED = 5


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
    close = difflib.get_close_matches(wanted, names, NAMED, cutoff=0.3) or names[:NAMED]
    raise ConfigError(
        f"None of the model's {len(names)} classes is called {wanted!r}; there are "
        f"{', '.join(close)} and others (class_names in model.json)."
    )


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
    that decide between the best class and another one, as `contrast_facts` has them.
    """
    best = prediction.top(top)
    found = {
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
        terms = [f"feature {number} {value:+.2f}" for number, value in facts["features"].items()]
        if facts["bias"]:
            terms.append(f"bias {facts['bias']:+.2f}")
        lines.append(
            f"  rather than {facts['class']}: {'  '.join(terms)}  = {facts['difference']:+.2f}"
        )
    return "\n".join(lines)


def prediction_rows(
    path: Path, prediction: Prediction, model: TokenModel, top: int
) -> list[tuple[str, ...]]:
    """Return a row of `COLUMNS` for each of an image's best classes."""
    return [
        (
            str(path),
            str(rank),
            model.class_names[label],
            f"{prediction.probabilities[label]:.4f}",
            f"{prediction.logits[label]:.4f}",
            " ".join(
                f"{model.selected[f]}:{prediction.contributions[label, f]:+.4f}"
                for f in prediction.used(label)
            ),
        )
        for rank, label in enumerate(prediction.top(top), start=1)
    ]


def _reasons(prediction: Prediction, model: TokenModel, label: int) -> str:
    reasons = [
        f"feature {model.selected[f]} {prediction.contributions[label, f]:+.2f}"
        for f in prediction.used(label)
    ]
    if prediction.bias.any():  # QPM has none
        reasons.append(f"bias {prediction.bias[label]:+.2f}")
    return f"{'  '.join(reasons)}  = logit {prediction.logits[label]:+.2f}"
