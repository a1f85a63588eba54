"""Pages of `explain` in a real browser: silent, on a phone too, and open to a screen reader."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from browser import violations
from command import here
from qpmstudy.explain.overview import Overview
from qpmstudy.explain.overview_page import overview_html
from qpmstudy.exported import read_model

PAGES = ("class-2", "class-1-3", "feature", "failures", "overview", "large")


@pytest.fixture(scope="module")
def folder(model: Path, finished: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every kind of page, and an overview of signed weights that is larger than any screen."""
    out = tmp_path_factory.mktemp("explained")
    number = str(read_model(model).selected[2])
    for words in (["class", "2"], ["class", "1", "3"], ["feature", number], ["failures"]):
        found = here("explain", model, *words, "--root", finished.root.path, "--out", out)
        assert found.code == 0, found.err
    (out / f"feature-{number}.html").rename(out / "feature.html")
    assert here("explain", model, "overview", "--out", out).code == 0
    weight = np.random.default_rng(0).normal(size=(60, 50)).astype(np.float32)
    names = tuple(f"{label:03}.Black_footed_Albatross_of_a_long_name" for label in range(60))
    large = overview_html(Overview("large", weight, names, tuple(range(50))))
    (out / "large.html").write_text(large, encoding="utf-8")
    return out


@pytest.mark.parametrize("width", [400, 1600])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_can_be_read_by_everybody(
    chromium: Any, folder: Path, name: str, width: int
) -> None:
    context = chromium.new_context(viewport={"width": width, "height": 900}, bypass_csp=True)
    said: list[str] = []
    requests: list[str] = []
    try:
        tab = context.new_page()
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto((folder / f"{name}.html").as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert [url for url in requests if not url.startswith("data:")] == [tab.url]
        headings = tab.locator("h1, h2, h3").evaluate_all("all => all.map(one => one.tagName)")
        assert headings == ["H1", *["H2"] * (len(headings) - 1)]
        images = tab.locator("img")
        if name not in ("overview", "large"):
            assert images.count() > 0
        broken = "all => all.filter(one => !one.alt || !one.naturalWidth).map(one => one.outerHTML)"
        assert images.evaluate_all(broken) == []
        assert violations(tab) == []
        assert said == []
    finally:
        context.close()
