"""Pages of global explanations: what they say, and that both ways of showing them show it."""

import io
from collections.abc import Callable
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from qpmstudy.explain.captions import Tile
from qpmstudy.explain.class_page import class_page
from qpmstudy.explain.drawing import Drawing, Shown
from qpmstudy.explain.failure_page import DenseView, Failure, failure_page
from qpmstudy.explain.feature_page import crop_at, feature_page
from qpmstudy.explain.page import WIDTH, Figure, Page, Section, Strip, signed
from qpmstudy.explain.page_html import page_html
from qpmstudy.explain.page_picture import _font, page_picture, wrapped
from qpmstudy.inference import InterpretableModel

AVERAGE = np.array([-1.5, 0.25, 0.5, 1.0])
EVIL = '<script>alert(1)</script>"&_$x$'


class Reader(HTMLParser):
    """Keeps the tags, the attributes and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attributes

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def shown(small_model: InterpretableModel, picture: Image.Image) -> Callable[..., Shown]:
    def show(label: int, model: InterpretableModel = small_model) -> Shown:
        return Shown("a.png", label, Drawing(model, picture, model.predict(picture)))

    return show


def both_ways(page: Page) -> tuple[Image.Image, Reader]:
    return Image.open(io.BytesIO(page_picture(page))), Reader(page_html(page))


@settings(deadline=None, max_examples=50)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=80))
def test_wrapped_text_is_whole_and_fits(text: str) -> None:
    lines = wrapped(text, 120, 14)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(len(line) <= 1 or _font(14).getlength(line) <= 120 for line in lines)


def test_whatever_a_name_is_it_stays_text() -> None:
    tile = Tile(np.zeros((20, 20, 3), np.uint8), EVIL, EVIL, (1, 2, 3))
    png = io.BytesIO()
    Image.new("RGB", (40, 30)).save(png, format="PNG")
    section = Section(
        EVIL,
        (EVIL,),
        legend=(((1, 2, 3), EVIL),),
        bands=((EVIL, 1),),
        strips=(Strip((tile,), EVIL, EVIL), Strip((tile,))),
        figure=Figure(png.getvalue(), EVIL),
    )
    image, found = both_ways(Page(EVIL, (EVIL,), (section, Section("", strips=(Strip((tile,)),)))))
    assert image.width == WIDTH
    assert "script" not in found.tags
    assert found.text.count(EVIL) >= 9
    sources = [value for name, value in found.attributes if name in ("src", "href")]
    assert len(sources) == 4
    assert all(value is not None and value.startswith("data:image/") for value in sources)
    assert {name for name, _ in found.attributes if name.startswith("on")} == set()
    assert found.tags.count("img") == [name for name, _ in found.attributes].count("alt")


def test_numbers_have_a_sign_and_no_negative_nothing() -> None:
    assert [signed(value) for value in (0.126, -1.0, -0.001, 0.0)] == [
        *("+0.13", "-1.00", "+0.00", "+0.00")
    ]


def test_two_classes_have_their_features_by_who_uses_them(
    small_model: InterpretableModel, shown: Callable[..., Shown]
) -> None:
    """owl and wren share one feature of two, owl and gull none."""
    page = class_page(small_model, [0, 1], [[shown(0)], [shown(1), shown(1)]], AVERAGE, ["whose"])
    assert [section.heading for section in page.sections] == [
        *("Examples", "Both use", "Only owl uses", "Only wren uses")
    ]
    rows = [strip.label for section in page.sections[1:] for strip in section.strips]
    assert rows == ["feature 5", "feature 3", "feature 11"]
    spots = [strip.spot for section in page.sections[1:] for strip in section.strips]
    assert len(set(spots)) == 3
    assert page.sections[0].bands == (("owl", 1), ("wren", 2))
    said = [tile.subtitle for tile in page.sections[2].strips[0].tiles]
    added = float(shown(0).drawing.prediction.contributions[0, 0])
    assert said == [
        f"adds {signed(added)}, {signed(added - AVERAGE[0])} against average",
        *("not used", "not used"),
    ]
    assert page.words[-1] == "whose"
    assert {tile.title for tile in page.sections[0].strips[0].tiles} == {"a.png"}
    image, found = both_ways(page)
    assert image.width == WIDTH
    assert "owl and wren" in found.text
    apart = class_page(small_model, [0, 2], [[shown(0)], [shown(2)]], AVERAGE)
    assert "Both use" not in [section.heading for section in apart.sections]


def test_a_class_without_features_has_a_page(
    biased_model: InterpretableModel, shown: Callable[..., Shown]
) -> None:
    page = class_page(biased_model, [1], [[shown(1, biased_model)]], AVERAGE)
    assert page.words == ("It uses no feature.",)
    assert [section.heading for section in page.sections] == ["Examples"]
    both_ways(page)
    signs = class_page(
        biased_model, [0, 2], [[shown(0, biased_model)], [shown(2, biased_model)]], AVERAGE
    )
    assert signs.sections[1].strips[0].words == "weight +0.50 and +0.75"


def test_a_feature_says_who_uses_it(
    biased_model: InterpretableModel, shown: Callable[..., Shown]
) -> None:
    strength = np.array([0.5, np.nan, 0.25])
    groups = [("Most", "the most", [shown(0, biased_model)]), ("None", "nothing", [])]
    page = feature_page(biased_model, 1, strength, groups)
    assert page.title == "Feature 5"
    assert page.words[:2] == ("2 of 3 classes use it.", "Weights: owl -1.25, gull +0.50.")
    assert [section.heading for section in page.sections][1:] == ["Most"]
    assert page.sections[0].figure is not None
    assert page.sections[0].figure.alt == "Mean strength by class: owl 0.50, gull 0.25."
    image, _ = both_ways(page)
    assert image.width == WIDTH


@given(row=st.floats(0, 1), column=st.floats(0, 1))
def test_a_crop_lies_inside_and_has_its_place(row: float, column: float) -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[min(63, int(row * 64)), min(63, int(column * 64))] = 255
    found = crop_at(picture, (row, column), 0.5)
    assert found.shape == (32, 32, 3)
    assert found.max() == 255


def test_a_mistake_says_what_both_classes_get(
    small_model: InterpretableModel, shown: Callable[..., Shown]
) -> None:
    prediction = shown(0).drawing.prediction
    wrong = prediction.top(1)[0]
    true = (wrong + 1) % 3
    dense = DenseView(true, 0.5, np.linspace(-1, 1, 256, dtype=np.float32))
    whole = Failure(shown(true), shown(wrong), 0.75, dense)
    page = failure_page(small_model, [whole, Failure(shown(true), None, 0.0, None)], [], ["Some."])
    first, second = page.sections
    assert [len(section.strips[0].tiles) for section in page.sections] == [5, 3]
    assert "similarity 0.75" in first.strips[0].tiles[4].subtitle
    assert first.strips[0].tiles[3].title == "dense model, GradCAM"
    for label, name in ((wrong, "predicted"), (true, "true")):
        words = " ".join(said for _, said in second.legend if name in said or "both" in said)
        for feature in prediction.used(label):
            assert f"feature {small_model.selected[feature]}:" in words
            assert signed(float(prediction.contributions[label, feature])) in words
    only = [tile.title for tile in first.strips[1].tiles]
    assert len(only) == len(set(prediction.used(wrong)) ^ set(prediction.used(true)))
    both_ways(page)
