"""All classes and features of a model at a glance: which class uses what, similar ones together.

C classes, F features.
"""

import html
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import leaves_list, linkage

from qpmstudy.inference import TokenModel
from qpmstudy.plots.style import png

NAMED_CLASSES = 120
"""With more classes a picture has no room for their names; the page has them all."""


@dataclass(frozen=True)
class Overview:
    """The class x feature matrix of a model, in an order in which like stands beside like.

    Attributes:
        title: what the model is called.
        weight: W, ordered; binary for QPM.
        class_names: of the rows.
        features: of the columns: their numbers in the dense model.
    """

    title: str
    weight: Float[np.ndarray, "C F"]
    class_names: tuple[str, ...]
    features: tuple[int, ...]

    def users(self) -> Int[np.ndarray, " F"]:
        """Return how many classes use each feature."""
        counts: np.ndarray = (self.weight != 0).sum(0)
        return counts

    def closest(self) -> list[tuple[str, str, int]]:
        """Return for each class the one that shares most features with it, and how many.

        Of equals the nearest in the order; nothing where the model has a single class.
        """
        used = (self.weight != 0).astype(np.int64)
        shared = used @ used.T
        np.fill_diagonal(shared, -1)
        if len(shared) < 2:
            return []
        names = self.class_names
        return [
            (names[c], names[other], int(shared[c, other]))
            for c, other in enumerate(shared.argmax(1).tolist())
        ]


def overview(model: TokenModel) -> Overview:
    """Return the overview of a model, rows and columns ordered by average-linkage clustering."""
    weight = model.classifier.weight.detach().cpu().numpy()
    rows, columns = ordered(weight), ordered(weight.T)
    return Overview(
        title=str(model.record.get("name", "model")),
        weight=weight[np.ix_(rows, columns)],
        class_names=tuple(model.class_names[row] for row in rows),
        features=tuple(model.selected[column] for column in columns),
    )


def ordered(vectors: Float[np.ndarray, "n m"]) -> list[int]:
    """Return an order of vectors in which similar ones are neighbours."""
    if len(vectors) < 3:
        return list(range(len(vectors)))
    # Optimal order takes n^3: half a minute for 1000 classes.
    tree = linkage(vectors, "average", optimal_ordering=len(vectors) <= 300)
    order: list[int] = leaves_list(tree).tolist()
    return order


def overview_png(found: Overview) -> bytes:
    """Return the overview as a picture: the matrix, and above it how many classes use a feature."""
    classes, features = found.weight.shape
    named = classes <= NAMED_CLASSES
    rows = 0.19 if named else min(0.19, 14 / classes)
    size = (3.2 * named + 1.2 + 0.26 * features, 1.9 + rows * classes)
    figure = Figure(figsize=size, dpi=120, layout="constrained")
    top, matrix = figure.subplots(
        2, 1, sharex=True, height_ratios=(1, max(1.0, size[1] - 1.6)), squeeze=True
    )
    top.bar(range(features), found.users(), color="#555555")
    top.set_ylabel("classes")
    top.set_title(f"{found.title}: which class uses which feature", loc="left", fontsize=10)
    largest = max(float(np.abs(found.weight).max()), 1e-12)
    matrix.imshow(
        found.weight, cmap="RdBu_r", vmin=-1.3 * largest, vmax=1.3 * largest, aspect="auto",
        interpolation="nearest",  # the ends of the map are nearly black
    )  # fmt: skip
    matrix.set_xticks(range(features), [str(number) for number in found.features], rotation=90)
    matrix.set_xlabel("feature (its number in the dense model)")
    if named:
        matrix.set_yticks(range(classes), [_short(name) for name in found.class_names])
    else:
        matrix.set_ylabel(f"{classes} classes")
    for axes in (top, matrix):
        axes.tick_params(labelsize=7, length=2)
    return png(figure)


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
            like = f"{shared} shared with {html.escape(other)}"
        rows.append(
            f'<tr><th scope="row">{html.escape(name)}</th>{cells}<td class="like">{like}</td></tr>'
        )
    classes, features = found.weight.shape
    return PAGE.format(
        title=html.escape(found.title),
        said=f"{classes} classes by {features} features; like classes and like features are "
        "neighbours. Under a feature's number: how many classes use it.",
        head=head,
        rows="\n".join(rows),
    )


def _cell(name: str, feature: int, value: float, largest: float) -> str:
    if value == 0:
        return "<td></td>"
    colour = "178,24,43" if value > 0 else "33,102,172"
    strength = 0.25 + 0.75 * abs(value) / largest
    words = html.escape(f"{name}: feature {feature}, weight {value:+.3g}", quote=True)
    sign = "+" if value > 0 else "−"
    return f'<td title="{words}" style="background:rgba({colour},{strength:.2f})">{sign}</td>'


def _short(name: str) -> str:
    return name if len(name) <= 40 else name[:39] + "…"


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: classes and features</title>
<style>
body {{ font: 14px/1.4 system-ui, sans-serif; margin: 1rem; color: #222; background: #fff; }}
div {{ overflow: auto; max-height: 85vh; }}
table {{ border-collapse: collapse; }}
th, td {{ border: 1px solid #ddd; padding: 1px 4px; min-width: 1.4rem; text-align: center; }}
td {{ color: #fff; }}
thead th {{ position: sticky; top: 0; background: #f4f4f4; }}
thead th span, thead th small {{ display: block; }}
small {{ color: #555; font-weight: normal; }}
tbody th {{ position: sticky; left: 0; background: #fff; text-align: left; font-weight: normal;
  max-width: 22rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }}
tbody tr:hover th, tbody tr:hover td:not([style]) {{ background: #fff3c4; }}
td.like {{ color: #555; text-align: left; white-space: nowrap; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{said}</p>
<div tabindex="0" role="region" aria-label="Which class uses which feature"><table>
<thead><tr><th scope="col">class</th>{head}<th scope="col">closest class</th></tr></thead>
<tbody>
{rows}
</tbody>
</table></div>
</body>
</html>
"""
