"""An evaluation in words and as JSON."""

from typing import Any

from qpmstudy.columns import shown
from qpmstudy.confusions import confusion_lines
from storage.evaluation import Evaluation
from storage.model_images import ALL, images_in_words
from storage.prepare import broken_lines


def evaluation_json(found: Evaluation) -> dict[str, Any]:
    """Return an evaluation as JSON types."""
    return {
        "model": str(found.model),
        "dataset": found.dataset,
        "split": found.split,
        "images": found.images,
        "source": found.source,
        "metrics": dict(found.metrics),
        "sid_k": found.sid_k,
        "chosen_on": found.chosen_on,
        "left_out": dict(found.left_out),
        "confused": [
            {
                "true": found.class_names[one.true],
                "predicted": found.class_names[one.predicted],
                "count": one.times,
                "images": one.images,
            }
            for one in found.confused
        ],
    }


def evaluation_text(found: Evaluation) -> str:
    """Return an evaluation in a few lines: what was measured on, then a metric a line."""
    width = max(map(len, found.metrics))
    lines = [
        f"{found.model} on {images_in_words(found.images, found.dataset, found.split)}",
        f"  {found.source}",
        "  percent, and numbers of features or images:",
    ]
    for name, value in found.metrics.items():
        which = f"  (SID@{found.sid_k})" if name == "sid" else ""
        lines.append(f"  {name:{width}}  {shown(name, value):>5}{which}")
    if "plausibility" in found.metrics and found.metrics["plausibility"] is None:
        lines.append("  -: not defined here; Plausibility needs object masks (segmentations/)")
    if found.confused:
        lines.append("  confused most:")
        lines += [f"    {line}" for line in confusion_lines(found.confused, found.class_names)]
    if found.chosen_on:
        lines.append("  The configuration was chosen on these images: the figures are optimistic.")
    if found.split == ALL:
        lines.append(
            "  All of them count: any that the model learned from flatter it (--split test)."
        )
    if found.left_out:
        lines += [
            f"left out as broken: {len(found.left_out)}",
            broken_lines(found.left_out),
        ]
    return "\n".join(lines)
