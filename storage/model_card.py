"""The model card: what a model is, how good, on what, for what, and how to make it again."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from qpmstudy.selection.methods import METHODS
from storage.provenance import code_in_words

METRICS_SHOWN = ("accuracy", "plausibility", "sid")


def model_card(record: Mapping[str, Any]) -> str:
    """Return the card, Markdown, for the content of a model.json."""
    method = record["configuration"]["select.method"]
    sections = [
        [f"# {record['name']}", _what(record)],
        ["## Data", *_data(record)],
        ["## What it is worth", *_worth(record)],
        ["## Selection of its features", _selection(method, record["certificate"])],
        ["## Use", *_use(record)],
        ["## Limits", *_limits(record)],
        ["## Making it again", *_repeating(record)],
    ]
    return "\n\n".join("\n\n".join(part for part in section if part) for section in sections) + "\n"


def _what(record: Mapping[str, Any]) -> str:
    method = METHODS.get(record["configuration"]["select.method"])
    return (
        f"{method.title} classifier of {len(record['class_names'])} classes by "
        f"{len(record['selected'])} features, {_a_class(record['classes'])}, {_basis(record)} of "
        f"`{record['dataset']}`. A decision is the sum of the few features of its class, so it "
        "comes with its reasons."
    )


def _data(record: Mapping[str, Any]) -> list[str]:
    images = ", ".join(f"{count} {split}" for split, count in record["images"].items())
    example = record["example"]
    kept = (
        f"`example.png` is what the backbone sees of {example['image']} ({example['split']} "
        f"split, {example['class']}): an image of the dataset, under the dataset's terms."
        if example
        else f"No example image is kept: {record['example_missing']}"
    )
    return [
        f"`{record['dataset']}`: {images} images of {len(record['class_names'])} classes, "
        f"embedded by `{record['backbone']['name']}`.",
        "Synthetic birds, patch descriptor: no figure is comparable with CUB."
        if record["dataset"].startswith("birds")
        else "",
        kept,
    ]


def _worth(record: Mapping[str, Any]) -> list[str]:
    seeds: Mapping[str, Mapping[str, Any]] = record["over_seeds"]
    return [
        _table(
            ["split", "images", *METRICS_SHOWN],
            [
                [split, str(record["images"][split]), *(_figure(record, split, values))]
                for split, values in record["metrics"].items()
                if split != "train"
            ],
        ),
        f"In brackets: 95% interval over images (Wilson). SID is SID@{record['sid_k']}. The "
        f"configuration was chosen on the {record['search_split']} split"
        + (
            " (protocol: paper), so its test figures are optimistic."
            if record["protocol"] == "paper"
            else "; the test split took no part."
        )
        + f" Why this one: {record['pick']}.",
        *(_over_seeds(seeds) if seeds["accuracy"]["seeds"] > 1 else []),
    ]


def _over_seeds(seeds: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [
        "The same configuration over seeds, of which this model is the best; brackets: 95% "
        "interval of the mean (Student).",
        _table(
            ["metric", "seeds", "mean"],
            [[name, str(found["seeds"]), _mean(found)] for name, found in seeds.items()],
        ),
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _figure(record: Mapping[str, Any], split: str, values: Mapping[str, Any]) -> list[str]:
    cells = ["-" if values[name] is None else f"{values[name]:.3f}" for name in METRICS_SHOWN]
    low, high = record["intervals"][split]["accuracy"]
    cells[METRICS_SHOWN.index("accuracy")] += f" [{low:.3f}, {high:.3f}]"
    return cells


def _mean(found: Mapping[str, Any]) -> str:
    around = "" if found["low"] is None else f" [{found['low']:.3f}, {found['high']:.3f}]"
    return f"{found['value']:.3f}{around}"


def _use(record: Mapping[str, Any]) -> list[str]:
    name = record["name"]
    onnx = record["onnx"]
    return [
        "For pictures like those it was trained on, one object of one of its classes in each, "
        "where somebody looks at the reasons: labelling with a second pair of eyes, finding out "
        "what tells classes apart, research on interpretable models.",
        f"    python cli.py infer {name} IMAGE --explain OUT\n"
        f"    python cli.py verify {name}          # still says what it said?",
        f'    from qpmstudy import load\n    model = load("{name}")\n'
        '    prediction = model.predict("IMAGE")',
        f"`model.onnx` (opset {onnx['opset']}) is adapter and head: {onnx['inputs']} in, "
        f"{onnx['outputs']} out, any batch; checked against torch to {onnx['tolerance']:g}."
        if onnx
        else "",
    ]


def _limits(record: Mapping[str, Any]) -> list[str]:
    masked = any(
        values["plausibility"] is not None
        for split, values in record["metrics"].items()
        if split != "train"  # whose figures have names of their own
    )
    lines = [
        f"- It knows {len(record['class_names'])} classes and nothing else: whatever a picture "
        "shows, it names one of them, and its probabilities are not calibrated.",
        "- An overlay shows where a feature fires. What the feature means is for people to find "
        "out, on more than one picture.",
        "- It sees the centred square of a picture alone.",
        "" if masked else "- Without object masks nobody measured whether it looks at the object.",
        "- Nobody examined it for decisions about people: do not make any with it.",
    ]
    return ["\n".join(line for line in lines if line)]


def _repeating(record: Mapping[str, Any]) -> list[str]:
    made: Mapping[str, Any] = record["provenance"]
    devices = sorted({made[name] for name in made if name.startswith("device.")})
    versions = json.loads(made["versions"] or "{}").items()
    lines = [
        f"- code: {code_in_words(made)}",
        f"- command: `{made['command']}`" if made["command"] else "",
        f"- then: `python cli.py study export {record['study']} --pick {record['trial']}`",
        f"- embeddings: {(made['fingerprint'] or '')[:12]}, of weights "
        f"{(made['weights'] or '')[:12]}",
        f"- computed on: {', '.join(devices)}" if devices else "",
        "- versions: " + ", ".join(" ".join(pair) for pair in versions) if versions else "",
    ]
    return [
        f"Trial {record['trial']}, seed {record['seed']} of the study `{record['study']}`; the "
        "whole configuration is in model.json.",
        "\n".join(line for line in lines if line),
    ]


def _basis(record: Mapping[str, Any]) -> str:
    backbone = f"`{record['backbone']['name']}`"
    if record["configuration"]["adapter.kind"] == "resnet50":
        return f"a ResNet-50 trained end to end on {backbone}"
    return f"on frozen {backbone} embeddings"


def _a_class(classes: Mapping[str, list[int]]) -> str:
    counts = [len(used) for used in classes.values()]
    if min(counts) == max(counts):
        return f"{counts[0]} a class"
    mean = sum(counts) / len(counts)
    return f"{mean:.1f} a class on average ({min(counts)} to {max(counts)})"


def _selection(method: str, certificate: Mapping[str, Any] | None) -> str:
    if certificate is None:
        return f"Selection by {method}, which proves nothing about its answer."
    gap, fallback = certificate["gap"], certificate["fallback"]
    proven = "not bounded" if gap is None else f"{gap:.2%}"
    took_over = f" It took over from another solver: {fallback}" if fallback else ""
    return (
        f"Selection by {certificate['solver']}: objective {certificate['objective']:.4g}, "
        f"proven gap {proven}.{took_over}"
    )
