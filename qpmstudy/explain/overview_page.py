"""All classes and features of a model as a page: a table as large as it must be, scrolled inside.

C classes, F features.
"""

from html import escape

import numpy as np

from qpmstudy.explain.document import breakable, document
from qpmstudy.explain.overlays import Colour
from qpmstudy.explain.overview import Overview

SIGNS: dict[str, Colour] = {"for": (178, 24, 43), "against": (33, 102, 172)}
"""Colours of positive and of negative weights."""
DARK, LIGHT = (32, 32, 32), (255, 255, 255)
SHADES: tuple[tuple[float, Colour], ...] = ((0.3, DARK), (0.55, DARK), (1.0, LIGHT))
"""Of a colour, by how large a weight is beside the largest: its strength, and the sign's colour."""
STYLE = """
:root { color-scheme: light; }
body { font: 14px/1.4 system-ui, sans-serif; margin: 1rem; color: #202020; background: #fff; }
h1, p { overflow-wrap: anywhere; }
.wide { overflow: auto; max-height: 85vh; }
table { border-collapse: collapse; width: max-content; }
th, td { border: 1px solid #ddd; padding: 1px 4px; min-width: 1.4rem; text-align: center; }
thead th { position: sticky; top: 0; background: #f4f4f4; }
thead th span, thead th small { display: block; }
small { color: #505050; font-weight: normal; }
tbody th { position: sticky; left: 0; background: #fff; text-align: left; font-weight: normal;
  max-width: min(22rem, 40vw); overflow-wrap: anywhere; }
tbody tr:hover th, tbody tr:hover td:not([title]) { background: #fff3c4; }
td.like { color: #505050; text-align: left; max-width: min(22rem, 40vw);
  overflow-wrap: anywhere; }
"""


def overview_html(found: Overview) -> str:
    """Return the overview as a page of its own, for any browser, without network or script."""
    largest = max(float(np.abs(found.weight).max()), 1e-12)
    head = "".join(
        f'<th scope="col"><span>{number}</span><small>{count}</small></th>'
        for number, count in zip(found.features, found.users().tolist(), strict=True)
    )
    closest = {name: (other, shared) for name, other, shared in found.closest()}
    rows = []
    for name, weights in zip(found.class_names, found.weight, strict=True):
        cells = "".join(
            _cell(name, number, float(value), largest)
            for number, value in zip(found.features, weights, strict=True)
        )
        like = ""
        if name in closest:
            other, shared = closest[name]
            like = f"{shared} shared with {breakable(other)}"
        rows.append(
            f'<tr><th scope="row">{breakable(name)}</th>{cells}<td class="like">{like}</td></tr>'
        )
    classes, features = found.weight.shape
    body = [
        f"<h1>{escape(found.title)}</h1>",
        f"<p>{classes} classes by {features} features; like classes and like features are "
        "neighbours. Under a feature's number: how many classes use it.</p>",
        '<div class="wide" tabindex="0" role="region" aria-label="Which class uses which feature">',
        f'<table>\n<thead><tr><th scope="col">class</th>{head}<th scope="col">closest class</th>',
        "</tr></thead>\n<tbody>",
        *rows,
        "</tbody>\n</table></div>",
    ]
    return document(f"{found.title}: classes and features", STYLE + _shades(), "\n".join(body))


def _cell(name: str, feature: int, value: float, largest: float) -> str:
    if value == 0:
        return "<td></td>"
    shade = int(np.ceil(len(SHADES) * abs(value) / largest))
    words = escape(f"{name}: feature {feature}, weight {value:+.3g}", quote=True)
    kind, sign = ("for", "+") if value > 0 else ("against", "−")
    return f'<td title="{words}" class="{kind}{shade}">{sign}</td>'


def _shades() -> str:
    """Return the style of the cells."""
    rules = []
    for kind, colour in SIGNS.items():
        for shade, (strength, ink) in enumerate(SHADES, start=1):
            paper = tuple(round(255 - strength * (255 - part)) for part in colour)
            rules.append(f"td.{kind}{shade} {{ background: rgb{paper}; color: rgb{ink}; }}\n")
    return "".join(rules)
