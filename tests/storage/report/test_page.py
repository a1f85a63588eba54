"""The page of a report in a real browser: pointed at, clicked, filtered, by keyboard, read out."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from browser import violations
from storage.analysis import StudyResults, pareto_result
from storage.report import report_page

COUNT = 30
EVIL = '</script><script>window.pwned = 1</script><img src=x onerror="window.pwned = 1">'
ENDS = """line => ["1", "2"].map((end) => {
    const frame = line.ownerSVGElement.getBoundingClientRect();
    return ["x", "y"].map((way) => Number(line.getAttribute(way + end)) + frame[way]);
})"""
"""Where a line begins and ends in the window: its box has its width around it."""
EVIL_CLASS = '<script>window.pwned = 1</script>"'


@dataclass
class Opened:
    """A page in a tab, and what went on in it."""

    tab: Any
    data: dict[str, Any]
    said: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def points(self) -> Any:
        return self.tab.locator('.point[role="button"]')

    def rows(self) -> Any:
        return self.tab.locator(".configurations tbody tr")

    def column(self, index: int) -> list[str]:
        return [row.locator("th, td").nth(index).inner_text() for row in self.rows().all()]

    def filter(self, name: str, text: str) -> None:
        self.tab.get_by_label(f"Filter {name}", exact=True).fill(text)


@pytest.fixture(scope="module")
def content(made: Any, told: Any, finished: Any) -> dict[str, Any]:
    """A study with a failed run, names that are markup, and more rows than a page of them."""
    result = made(COUNT)
    spec = result.studies[0].spec.model_copy(update={"description": EVIL})
    *rows, last = result.studies[0].rows
    failed = last | {"status": "FAIL", "error": EVIL}
    data = told(pareto_result([StudyResults(spec, [*rows, failed])]))
    for picture in data["pictures"].values():
        picture["text"] = f"True classes: {EVIL_CLASS}"
    return data  # type: ignore[no-any-return]  # a fixture's value


@pytest.fixture(scope="module")
def page_file(content: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(report_page(content), encoding="utf-8")
    return path


@pytest.fixture
def opened(
    chromium: Any, page_file: Path, content: dict[str, Any]
) -> Iterator[Callable[..., Opened]]:
    contexts = []

    def open_page(width: int = 1600, scheme: str = "light", at: str = "", **options: Any) -> Opened:
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, **options
        )
        contexts.append(context)
        context.set_default_timeout(10_000)
        page = Opened(context.new_page(), content)
        page.tab.on("console", lambda message: page.said.append(message.text))
        page.tab.on("pageerror", lambda error: page.said.append(str(error)))
        page.tab.on("request", lambda request: page.requests.append(request.url))
        page.tab.goto(page_file.as_uri() + at)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1600])
def test_it_opens_silently_and_fits(opened: Any, page_file: Path, width: int, scheme: str) -> None:
    page = opened(width, scheme)
    assert page.points().count() == COUNT
    for details in page.tab.locator("details").all():
        details.evaluate("node => node.open = true")
    assert page.tab.evaluate("document.documentElement.scrollWidth") == width
    assert page.said == []
    remote = [url for url in page.requests if not url.startswith("data:")]
    assert remote == [page_file.as_uri()]
    colour = page.tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (colour == "rgb(244, 246, 248)") == (scheme == "light")


@pytest.mark.parametrize(("width", "scheme"), [(1600, "light"), (400, "light"), (1600, "dark")])
def test_nothing_keeps_a_screen_reader_out(opened: Any, width: int, scheme: str) -> None:
    page = opened(width, scheme, bypass_csp=True)  # axe is a script of somebody else's
    for details in page.tab.locator("details").all():
        details.evaluate("node => node.open = true")
    assert violations(page.tab) == []


def test_a_study_without_description_has_none(
    opened: Any, content: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "plain.html"
    path.write_text(report_page(content | {"study": content["study"] | {"description": ""}}))
    page = opened()
    page.tab.goto(path.as_uri())
    name, *_ = page.tab.locator("#head").inner_text().splitlines()
    assert name == content["study"]["name"]
    assert "null" not in page.tab.locator("#head").inner_text()


def test_no_name_runs(opened: Any) -> None:
    page = opened()
    assert page.tab.locator(".lead").inner_text() == EVIL
    assert page.tab.locator("#cost td", has_text="window.pwned").inner_text() == EVIL
    assert EVIL_CLASS in page.tab.locator(".picture img").get_attribute("alt")
    assert page.tab.evaluate("window.pwned") is None
    assert page.tab.locator("script").count() == 2
    assert page.said == []


def test_the_page_cannot_reach_the_network(opened: Any) -> None:
    page = opened()
    reach = "url => fetch(url).then(() => 'reached', () => 'refused')"
    assert page.tab.evaluate(reach, "http://127.0.0.1:9/") == "refused"
    assert any("Content Security Policy" in line for line in page.said)


def test_pointing_tells_configuration_and_interval(opened: Any) -> None:
    page = opened()
    page.tab.locator('.point[data-index="3"]').hover()
    told = page.tab.locator("#tip").inner_text()
    accuracy = next(one for one in page.data["metrics"] if one["name"] == "accuracy")
    mean, error = 100 * accuracy["mean"][3], 100 * accuracy["error"][3]
    assert "trial 3: depth 4, l1_fm 0.8276" in told
    assert f"accuracy (%): {mean:.1f} ±{error:.1f}" in told
    page.tab.keyboard.press("Escape")
    assert page.tab.locator("#tip").is_hidden()


def test_a_click_shows_the_card(opened: Any) -> None:
    page = opened()
    front = page.data["configurations"]["front"].index(True)
    page.tab.locator(f'.point[data-index="{front}"]').click()
    card = page.tab.locator("#card")
    assert card.locator("h2").inner_text().startswith(f"Trial {front}")
    assert "on the front" in card.locator("h2").inner_text()
    assert card.locator("figure path.curve").count() == 2 * 2 + 2  # phases x seeds, proof
    assert card.get_by_text("lagrangian").count() == 2
    image = card.locator(".picture img")
    image.scroll_into_view_if_needed()
    assert image.evaluate("node => node.decode().then(() => node.naturalWidth)") > 100
    card.locator("select").first.select_option("loss")
    card.locator("figure text.name", has_text="loss").nth(1).wait_for()
    card.locator(".picture").click()
    assert page.tab.locator("#large img").is_visible()
    page.tab.keyboard.press("Escape")
    assert page.tab.locator("#large img").is_hidden()
    assert page.tab.url.endswith(f"#trial-{front}")
    assert page.said == []


def test_axes_can_be_read(opened: Any) -> None:
    """No tick covers an axis' name, what is counted has whole ticks, nothing goes to 110 %."""
    page = opened(width=1600)
    covered = page.tab.evaluate(
        """() => [...document.querySelectorAll("svg .axes")].flatMap((axes) => {
          const texts = [...axes.querySelectorAll("text")];
          const box = (node) => node.getBoundingClientRect();
          const names = texts.filter((node) => node.classList.contains("name"));
          return names.flatMap((name) => texts.filter((node) => !names.includes(node)
            && box(node).left < box(name).right && box(name).left < box(node).right
            && box(node).top < box(name).bottom && box(name).top < box(node).bottom)
            .map((node) => `${name.textContent}: ${node.textContent}`));
        })"""
    )
    assert covered == []
    ticks = page.tab.locator('#hypervolume .axes text[text-anchor="middle"]:not(.name)')
    whole = ticks.evaluate_all("nodes => nodes.map((node) => node.textContent)")
    assert len(whole) > 1
    assert all(text.isdecimal() for text in whole)


def test_what_is_always_right_has_an_axis_to_100_and_ties_go_to_the_front(
    opened: Any, content: dict[str, Any], tmp_path: Path
) -> None:
    always = copy.deepcopy(content)
    accuracy = next(one for one in always["metrics"] if one["name"] == "accuracy")
    accuracy["mean"], accuracy["error"] = [1.0] * COUNT, [0.0] * COUNT
    fronts = always["configurations"]["front"]
    fronts[:] = [index == COUNT - 2 for index in range(COUNT)]
    (tmp_path / "page.html").write_text(report_page(always), encoding="utf-8")
    page = opened()
    page.tab.goto((tmp_path / "page.html").as_uri())
    assert f"best accuracy (%), trial {COUNT - 2}" in page.tab.locator(".tiles").inner_text()
    ticks = page.tab.locator('#front .axes text[text-anchor="middle"]:not(.name)')
    numbers = ticks.evaluate_all("nodes => nodes.map((node) => Number(node.textContent))")
    assert max(numbers) == 100


def test_an_address_names_a_trial(opened: Any) -> None:
    page = opened(at="#trial-7")
    assert page.tab.locator("#card-title").inner_text().startswith("Trial 7")
    assert "study show made 7" in page.tab.locator("#card").inner_text()
    last = opened(at=f"#trial-{COUNT - 1}")
    assert "1 failed run" in last.tab.locator("#card-title").inner_text()
    assert "1 of 2 seeds failed" in last.tab.locator("#card").inner_text()


def test_the_keyboard_is_enough(opened: Any) -> None:
    page = opened()
    keyboard = page.tab.keyboard
    page.points().first.focus()
    keyboard.press("Home")
    index = "Number(document.activeElement.dataset.index)"
    seen = [page.tab.evaluate(index)]
    for _ in range(3):
        keyboard.press("ArrowRight")
        seen.append(page.tab.evaluate(index))
    accuracy = next(one for one in page.data["metrics"] if one["name"] == "accuracy")["mean"]
    assert seen == sorted(range(COUNT), key=lambda i: accuracy[i])[:4]
    assert f"trial {seen[-1]}:" in page.tab.locator("#tip").inner_text()
    keyboard.press("Enter")
    assert page.tab.evaluate("document.activeElement.id") == "card"
    assert page.tab.locator("#card-title").inner_text().startswith(f"Trial {seen[-1]}")
    assert page.tab.locator("#said").inner_text() == f"Trial {seen[-1]} is shown"
    # one stop for all points
    assert page.tab.locator('#front .point[tabindex="0"]').count() == 1


def test_filters_act_on_table_and_plots(opened: Any) -> None:
    page = opened()
    page.filter("depth", "4")
    assert page.points().count() == COUNT // 2
    assert set(page.column(1)) == {"4"}
    page.filter("accuracy", ">= 60")
    left = page.points().count()
    assert 0 < left < COUNT // 2
    assert all(float(text.split()[0]) >= 60 for text in page.column(3))
    assert page.tab.locator(".count").inner_text().startswith(f"{left} of {COUNT}")
    page.filter("accuracy", ">= sixty")
    field = page.tab.get_by_label("Filter accuracy", exact=True)
    assert field.get_attribute("aria-invalid") == "true"
    assert page.points().count() == left  # as it was
    page.tab.get_by_role("button", name="Show all").click()
    assert page.points().count() == COUNT
    assert field.input_value() == ""
    page.tab.get_by_label("only the front").check()
    assert page.points().count() == sum(page.data["configurations"]["front"])
    page.filter("trial", "1000")
    assert page.column(0) == ["No configuration passes the filters."]
    assert page.said == []


def test_the_table_sorts_and_turns_its_pages(opened: Any) -> None:
    page = opened()
    assert page.rows().count() == 25
    page.tab.get_by_role("button", name="Next").click()
    assert page.rows().count() == COUNT - 25
    heading = page.tab.locator(".configurations thead").get_by_role("button", name="l1_fm")
    for way, down in (("ascending", False), ("descending", True)):
        heading.click()
        values = [float(text) for text in page.column(2)]
        assert values == sorted(values, reverse=down)
        assert len(values) == 25
        assert page.tab.locator(f'th[aria-sort="{way}"]').inner_text().strip().startswith("l1_fm")
    page.rows().nth(2).get_by_role("button").click()
    assert page.rows().nth(2).get_attribute("class").endswith("selected")
    page.tab.get_by_text("Columns", exact=True).click()
    page.tab.get_by_label("class independence", exact=True).check()
    assert page.tab.get_by_label("Filter class independence", exact=True).is_visible()


@pytest.mark.parametrize("width", [400, 1600])
def test_a_drag_along_an_axis_keeps_a_range(opened: Any, width: int) -> None:
    page = opened(width)
    axis = page.tab.locator("#parallel .axis", has_text="l1_fm").locator(".hit")
    axis.scroll_into_view_if_needed()
    start, end = axis.evaluate(ENDS)
    ends = (start, [(start[at] + end[at]) / 2 for at in (0, 1)])
    page.tab.mouse.move(*ends[0])
    page.tab.mouse.down()
    page.tab.mouse.move(*ends[1], steps=4)
    page.tab.mouse.up()
    left = [i for i, value in enumerate(page.data["parameters"][1]["values"]) if value <= 4]
    assert page.points().count() == pytest.approx(len(left), abs=1)
    page.tab.mouse.click(*ends[1])
    assert page.points().count() == COUNT


def test_of_many_configurations_plots_draw_the_front_and_a_choice_of_the_others(
    opened: Any, made: Any, told: Any, tmp_path: Path
) -> None:
    data = told(made(1200))
    (tmp_path / "many.html").write_text(report_page(data), encoding="utf-8")
    page = opened()
    page.tab.goto((tmp_path / "many.html").as_uri())
    drawn = page.points().evaluate_all("nodes => nodes.map((node) => Number(node.dataset.index))")
    assert 400 < len(drawn) <= 800
    assert {i for i, on in enumerate(data["configurations"]["front"]) if on} < set(drawn)
    assert page.tab.locator("#parallel .line").count() == len(drawn)
    for plot in ("front", "parallel"):
        note = page.tab.locator(f"#{plot} .note").inner_text()
        assert note.startswith(f"Of 1200 configurations {len(drawn)} are drawn")
    assert "of 48, 1200 configurations" in page.tab.locator(".pager").inner_text()
    page.filter("l1_fm", "<= 2")
    left = sum(value <= 2 for value in data["parameters"][1]["values"])
    assert page.points().count() == left < 800
    assert "are drawn" not in page.tab.locator("#front .note").inner_text()
    assert page.said == []
