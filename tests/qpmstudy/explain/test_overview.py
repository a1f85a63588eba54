"""All classes and features at a glance: nothing is lost in the order, and like stands by like."""

import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from qpmstudy.explain.overview import Overview, ordered, overview, overview_png
from qpmstudy.explain.overview_page import overview_html
from qpmstudy.inference import InterpretableModel


@pytest.fixture(params=["small_model", "biased_model"])
def model(request: pytest.FixtureRequest) -> InterpretableModel:
    found: InterpretableModel = request.getfixturevalue(request.param)
    return found


def test_an_order_keeps_every_weight(model: InterpretableModel) -> None:
    found = overview(model)
    for row, name in enumerate(found.class_names):
        for column, number in enumerate(found.features):
            place = model.class_names.index(name), model.selected.index(number)
            assert found.weight[row, column] == model.classifier.weight[place]
    assert found.users().tolist() == [int((found.weight[:, f] != 0).sum()) for f in range(4)]


def test_like_stands_beside_like() -> None:
    rng = np.random.default_rng(0)
    kinds = np.repeat(np.eye(4), 5, axis=0)
    shuffled = rng.permutation(20)
    order = [int(shuffled[place]) // 5 for place in ordered(kinds[shuffled])]
    assert sum(a != b for a, b in pairwise(order)) == 3
    assert ordered(kinds[:1]) == [0]


def test_the_closest_class_shares_most() -> None:
    weight = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 1]], dtype=np.float32)
    found = Overview("m", weight, ("a", "b", "c"), (0, 1, 2, 3))
    assert found.closest() == [("a", "b", 2), ("b", "a", 2), ("c", "b", 1)]
    assert replace(found, weight=weight[:1], class_names=("a",)).closest() == []


def test_the_page_has_a_cell_for_each_use_and_escapes_names(model: InterpretableModel) -> None:
    names = ("<b>owl</b>", 'wren "x"', "gull & co")
    page = overview_html(overview(replace(model, class_names=names)))
    tags: list[tuple[str, dict[str, str | None]]] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append((tag, dict(attrs)))

    Tags().feed(page)
    titles = [attributes["title"] for tag, attributes in tags if "title" in attributes]
    assert len(titles) == int((model.classifier.weight != 0).sum())
    assert all(str(title).startswith(names) for title in titles)
    assert not [tag for tag, _ in tags if tag in ("b", "script", "link", "img")]
    assert sum(attributes.get("scope") == "row" for _, attributes in tags) == 3


def test_every_sign_stands_out_of_its_cell(model: InterpretableModel) -> None:
    """By the contrast of WCAG 2.2, at least 4.5; axe judges no text of a single letter."""

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in colour.split(",")]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    page = overview_html(overview(model))
    shades = re.findall(r"td\.\w+ \{ background: rgb\((.+?)\); color: rgb\((.+?)\); \}", page)
    assert len(shades) == 6
    for pair in shades:
        dark, light = sorted(map(luminance, pair))
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_a_picture_of_any_size(model: InterpretableModel) -> None:
    weight = np.eye(150, 12, dtype=np.float32)
    many = Overview("many", weight, tuple(map(str, range(150))), tuple(range(12)))
    named = replace(overview(model), class_names=(r"$\nothing$", "$^", "wren"))
    for found in (overview(model), many, named):
        with Image.open(io.BytesIO(overview_png(found))) as image:
            assert np.asarray(image.convert("L")).std() > 5
