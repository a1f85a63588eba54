"""Predictions for many images, in words and as JSON."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from qpmstudy.datasets.pictures import read_rgb
from qpmstudy.explain import write_explanation
from qpmstudy.exported import load_model
from qpmstudy.inference import InterpretableModel, Prediction


def infer_images(
    model_folder: Path,
    images: Sequence[Path],
    explain: Path | None,
    weights: Path | None = None,
) -> Iterator[tuple[Path, Prediction, InterpretableModel, list[Path]]]:
    """Yield path, prediction, model and written explanation files of each image.

    Args:
        model_folder: an exported model.
        images: image files, all of which are decoded before the first is predicted.
        explain: folder for explanations, one sub-folder an image if there are several.
        weights: checkpoint of the backbone; None takes it from where it usually is.

    Raises:
        DataError: the model or an image is missing or damaged.
    """
    model = load_model(model_folder, weights)
    pictures = [read_rgb(path) for path in images]
    for number, (path, picture) in enumerate(zip(images, pictures, strict=True), start=1):
        prediction = model.predict(picture)
        written = []
        if explain is not None:
            folder = explain if len(images) == 1 else explain / f"{number:03d}-{path.stem}"
            written = write_explanation(model, picture, prediction, folder)
        yield path, prediction, model, written


def prediction_json(
    path: Path, prediction: Prediction, model: InterpretableModel
) -> dict[str, Any]:
    """Return an image's prediction as JSON types: every class, and the best one's features."""
    label = prediction.top(1)[0]
    return {
        "image": str(path),
        "class": model.class_names[label],
        "probabilities": dict(
            zip(model.class_names, prediction.probabilities.tolist(), strict=True)
        ),
        "logit": float(prediction.logits[label]),
        "bias": float(prediction.bias[label]),
        "contributions": {
            str(model.selected[feature]): float(prediction.contributions[label, feature])
            for feature in prediction.used(label)
        },
    }


def prediction_text(path: Path, prediction: Prediction, model: InterpretableModel, top: int) -> str:
    """Return an image's prediction in a few lines: best classes, and why the best one."""
    best = prediction.top(top)
    lines = [str(path)]
    lines += [f"  {prediction.probabilities[c]:6.1%}  {model.class_names[c]}" for c in best]
    reasons = [
        f"feature {model.selected[f]} {prediction.contributions[best[0], f]:+.2f}"
        for f in prediction.used(best[0])
    ]
    if prediction.bias.any():  # QPM has none
        reasons.append(f"bias {prediction.bias[best[0]]:+.2f}")
    lines.append(f"  because: {'  '.join(reasons)}  = logit {prediction.logits[best[0]]:+.2f}")
    return "\n".join(lines)
