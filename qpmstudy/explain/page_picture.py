"""A page of explanations as one picture."""

import io
import re
from collections.abc import Callable, Sequence

from PIL import Image, ImageDraw, ImageFont

from qpmstudy.explain.captions import INK, Tile
from qpmstudy.explain.overlays import Colour
from qpmstudy.explain.page import GAP, LABEL, MARGIN, WIDTH, Page, Section, Strip

TITLE, HEADING, TEXT, SMALL = 26, 20, 16, 14
QUIET: Colour = (80, 80, 80)
RULE: Colour = (205, 205, 205)
SPOT = 12
LEADING = 1.3

Step = Callable[[Image.Image, ImageDraw.ImageDraw], None]


def page_picture(page: Page) -> bytes:
    """Return a page as PNG, `WIDTH` pixels wide; text is wrapped, never cut off."""
    layout = _Layout()
    layout.paragraph(page.title, TITLE)
    for words in page.words:
        layout.paragraph(words, TEXT, QUIET)
    for section in page.sections:
        _section(layout, section)
    result = io.BytesIO()
    layout.drawn().save(result, format="PNG", optimize=True)
    return result.getvalue()


def wrapped(text: str, width: int, size: int) -> list[str]:
    """Return text as lines of at most `width` pixels, broken behind spaces, "_", "-" and "/"."""
    font, lines, line = _font(size), [], ""
    parts = re.findall(r"[^\s_/-]*[\s_/-]|[^\s_/-]+", text)
    while parts:
        part = parts.pop(0)
        if font.getlength((line + part).rstrip()) <= width:
            line += part
        elif line.strip():
            lines.append(line.rstrip())
            line = ""
            parts.insert(0, part)
        else:  # a single word that is wider than the line
            fits = next(
                n for n in range(len(part), 0, -1) if n == 1 or _fits(part[:n], width, font)
            )
            lines.append(part[:fits])
            line = ""
            parts[:0] = [part[fits:]] if part[fits:] else []
    return [*lines, line.rstrip()] if line.strip() or not lines else lines


def _fits(text: str, width: int, font: ImageFont.FreeTypeFont) -> bool:
    return font.getlength(text) <= width


class _Layout:
    """Things on a page, one below the other; drawn once it is known how high it is."""

    def __init__(self) -> None:
        self.y = MARGIN
        self._steps: list[Step] = []

    def add(self, step: Step) -> None:
        self._steps.append(step)

    def text(self, text: str, x: int, y: int, width: int, size: int, ink: Colour = INK) -> int:
        """Put text somewhere; return how high it is."""
        lines = wrapped(text, width, size) if text else []
        pitch = round(size * LEADING)
        for number, line in enumerate(lines):
            self.add(_written((x, y + number * pitch), line, size, ink))
        return len(lines) * pitch

    def spot(self, x: int, y: int, colour: Colour) -> None:
        box = (x, y, x + SPOT, y + SPOT)
        self.add(lambda _, draw: draw.rectangle(box, fill=colour, outline=INK))

    def picture(self, picture: Image.Image, x: int, y: int) -> None:
        self.add(lambda page, _: page.paste(picture, (x, y)))

    def paragraph(self, text: str, size: int, ink: Colour = INK) -> None:
        self.y += self.text(text, MARGIN, self.y, WIDTH - 2 * MARGIN, size, ink) + size // 3

    def line(self, left: int, right: int, ink: Colour = INK, thickness: int = 2) -> None:
        y = self.y
        self.add(lambda _, draw: draw.line((left, y, right, y), fill=ink, width=thickness))

    def rule(self) -> None:
        self.y += GAP
        self.line(MARGIN, WIDTH - MARGIN, RULE, 1)
        self.y += GAP + 4

    def drawn(self) -> Image.Image:
        page = Image.new("RGB", (WIDTH, self.y + MARGIN), "white")
        draw = ImageDraw.Draw(page)
        for step in self._steps:
            step(page, draw)
        return page


def _written(at: tuple[int, int], line: str, size: int, ink: Colour) -> Step:
    return lambda _, draw: draw.text(at, line, ink, _font(size))


def _section(layout: _Layout, section: Section) -> None:
    layout.rule()
    layout.paragraph(section.heading, HEADING)
    for words in section.words:
        layout.paragraph(words, TEXT, QUIET)
    _legend(layout, section.legend)
    if section.figure is not None:
        figure = Image.open(io.BytesIO(section.figure.png)).convert("RGB")
        layout.picture(figure, MARGIN, layout.y)
        layout.y += figure.height + GAP
    left = MARGIN + (LABEL + GAP if any(strip.label for strip in section.strips) else 0)
    if section.strips and section.bands:
        _bands(layout, section, left)
    for strip in section.strips:
        _strip(layout, strip, left)


def _legend(layout: _Layout, legend: Sequence[tuple[Colour, str]]) -> None:
    x, font = MARGIN, _font(SMALL)
    for number, (colour, words) in enumerate(legend):
        width = SPOT + 6 + round(font.getlength(words)) + 20
        if x + width > WIDTH - MARGIN and number:
            x, layout.y = MARGIN, layout.y + SMALL + GAP
        layout.spot(x, layout.y + 3, colour)
        layout.text(words, x + SPOT + 6, layout.y, WIDTH - MARGIN - x - SPOT - 6, SMALL)
        x += width
    layout.y += SMALL + 2 * GAP if legend else 0


def _bands(layout: _Layout, section: Section, left: int) -> None:
    side = section.strips[0].tiles[0].picture.shape[0]
    x, heights = left, []
    for words, columns in section.bands:
        width = columns * (side + GAP) - GAP
        heights.append(layout.text(words, x, layout.y, width - GAP, TEXT))
        x += width + GAP
    layout.y += max(heights) + 2
    x = left
    for _, columns in section.bands:
        width = columns * (side + GAP) - GAP
        layout.line(x, x + width - GAP)
        x += width + GAP
    layout.y += GAP


def _strip(layout: _Layout, strip: Strip, left: int) -> None:
    side = strip.tiles[0].picture.shape[0]
    columns = max(1, (WIDTH - MARGIN - left + GAP) // (side + GAP))
    top = layout.y
    if strip.label:
        indent = SPOT + 6 if strip.spot is not None else 0
        if strip.spot is not None:
            layout.spot(MARGIN, top + 4, strip.spot)
        height = layout.text(strip.label, MARGIN + indent, top, LABEL - indent, TEXT)
        height += layout.text(strip.words, MARGIN, top + height + 2, LABEL, SMALL, QUIET)
    else:
        height = 0
    for start in range(0, len(strip.tiles), columns):
        _tiles(layout, strip.tiles[start : start + columns], left)
    layout.y = max(layout.y, top + height + GAP)


def _tiles(layout: _Layout, tiles: Sequence[Tile], left: int) -> None:
    """Put captioned tiles side by side, their pictures at the same height."""
    heights = []
    for number, tile in enumerate(tiles):
        side = tile.picture.shape[0]
        x = left + number * (side + GAP)
        indent = SPOT + 6 if tile.spot is not None else 0
        if tile.spot is not None:
            layout.spot(x, layout.y + 2, tile.spot)
        height = layout.text(tile.title, x + indent, layout.y, side - indent, SMALL)
        height += layout.text(tile.subtitle, x, layout.y + height, side, SMALL, QUIET)
        heights.append(height)
    layout.y += max(heights) + 3
    for number, tile in enumerate(tiles):
        side = tile.picture.shape[0]
        layout.picture(Image.fromarray(tile.picture), left + number * (side + GAP), layout.y)
    layout.y += max(tile.picture.shape[0] for tile in tiles) + GAP


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow comes without FreeType"
    return font
