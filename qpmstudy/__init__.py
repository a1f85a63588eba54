"""The science of DINO-QPM: what is computed, with no word about where it runs or is kept.

    from qpmstudy import load
    model = load("models/l1fm-trial3-seed1")
    prediction = model.predict("bird.png")

`prediction` has logits, probabilities, contributions and feature maps (inference.py);
`model.class_names` and `model.selected` say what its classes and features are called.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qpmstudy.exported import load_model as load

__all__ = ["__version__", "load"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import `load`, and torch with it, when it is first asked for (PEP 562)."""
    if name == "load":
        from qpmstudy.exported import load_model  # noqa: PLC0415  (torch takes a second)

        return load_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
