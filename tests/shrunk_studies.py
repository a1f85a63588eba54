"""How a study file is cut down to seconds, by a stated rule, without asking anything else.

Kept are the stages, methods, variants, metrics, protocol, objectives and datasets. Cut down:

- every parameter to its first two values; every phase to one epoch; the study to one seed
- of the paper's sizes the hidden width to a 64th (at least 8), the features to an 8th and the
  selected ones to a 4th, k as it is: all of the embedded default's stay
- selection to the open solver, and to a second
- a ResNet-50 to random weights and pictures of 112 pixels
- backbones of the paper to stand-ins that differ as they do: the patch descriptor for the usual
  one, for the others pixels and blocks of a small ViT with random weights
- the birds to their smallest preset; no stage to a GPU; one trial at a time, as the process of
  another takes longer to start than all of them run
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from storage.study import StudySpec, load_study, parse_study

STUDIES = Path(__file__).resolve().parents[1] / "studies"
USUAL = "dinov2-vitb14-reg"
STAND_IN = "dino-vits16"
OTHERS = (
    f"{STAND_IN}@layer=1,size=112",
    "pixels-112",
    f"{STAND_IN}@layer=2,size=112",
    "pixels",
)
SIZES: dict[str, Callable[[int], int]] = {
    "adapter.hidden": lambda width: max(8, width // 64),
    "adapter.features": lambda width: width // 8,
    "select.features": lambda count: count // 4,
}
ALWAYS = {
    "dense.epochs": 1,
    "finetune.epochs": 1,
    "finetune.early_epochs": 1,
    "adapter.weights": "random",
    "select.solver": "lagrangian",
    "select.time_limit": 1.0,
    "embeddings.dataset": "birds-smoke",
}


def backbones(spec: StudySpec) -> dict[str, str]:
    """Return what stands in for every backbone of a study; those of the embedded default stay."""
    found = {USUAL: "patch-descriptor", "pixels": "pixels-112"}
    others = iter(OTHERS)
    for _, name in spec.stores():
        if name.startswith("dino") and name not in found:
            found[name] = next(others)
    return found


def shrunk(path: Path) -> StudySpec:
    """Return the study of a file, cut down."""
    whole = load_study(path)
    stand_ins = backbones(whole)
    of_the_paper = whole.protocol == "paper"

    def smaller(setting: str, value: Any) -> Any:
        if setting == "embeddings.backbone":
            return stand_ins.get(value, value)
        if setting == "embeddings.dataset" and of_the_paper:
            return value
        if setting in SIZES:
            return SIZES[setting](value) if of_the_paper else value
        return ALWAYS.get(setting, value)

    content = whole.canonical()
    content |= {"seeds": 1, "stages": {}, "parallel": 1}
    for section, values in content["pipeline"].items():
        for name, value in values.items():
            values[name] = smaller(f"{section}.{name}", value)
    space: dict[str, Any] = {}
    for name, entry in content["space"].items():
        if entry["variants"]:
            space[name] = {
                "variants": {
                    label: {path: smaller(path, value) for path, value in bundle.items()}
                    for label, bundle in entry["variants"].items()
                }
            }
        else:
            paths = entry["paths"] or [name]
            first = [smaller(paths[0], value) for value in entry["values"][:2]]
            space[name] = {"paths": paths, "values": first}
    return parse_study(content | {"space": space}, path.name)


def configurations(path: Path) -> int:
    """Return how many combinations the file itself lists, counted in its YAML alone."""
    space = yaml.safe_load(path.read_text(encoding="utf-8"))["space"]
    return math.prod(len(entry.get("variants") or entry["values"]) for entry in space.values())
