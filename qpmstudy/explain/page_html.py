"""A page of explanations as one HTML file."""

import base64
import io
from html import escape

from PIL import Image

from qpmstudy.explain.captions import Tile
from qpmstudy.explain.document import breakable, document
from qpmstudy.explain.overlays import Colour
from qpmstudy.explain.page import Page, Section, Strip

STYLE = """
:root { color-scheme: light; }
body { max-width: 75rem; margin: 0 auto; padding: 1rem; font: 1rem/1.45 system-ui, sans-serif;
  color: #202020; background: #fff; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; }
h2 { font-size: 1.2rem; border-top: 1px solid #cdcdcd; padding-top: 1rem; margin-top: 1.5rem; }
p, figcaption small, th small { color: #505050; }
figure { margin: 0; }
figcaption { line-height: 1.3; font-size: .9rem; }
small { display: block; font-size: .85rem; font-weight: normal; }
img { display: block; max-width: 100%; height: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; }
td, th { padding: .25rem; text-align: left; vertical-align: bottom; }
th[scope=row] { vertical-align: top; box-sizing: border-box; min-width: 11rem; width: 11rem;
  max-width: 11rem; }  /* the same in each table, so that their pictures line up */
td figcaption { contain: inline-size; }
th[scope=colgroup] { font-weight: normal; border-bottom: 2px solid #202020; }
td img { max-width: none; }
.strip, ul.legend { display: flex; flex-wrap: wrap; gap: .5rem; align-items: flex-end; }
.strip { margin: .5rem 0; }
.strip figure { max-width: 100%; }
.strip figcaption { contain: inline-size; }  /* as wide as the picture, however long a name is */
ul.legend { list-style: none; padding: 0; gap: .25rem 1.25rem; font-size: .9rem; }
.spot { display: inline-block; width: .8em; height: .8em; border: 1px solid #202020;
  margin-right: .35em; }
"""


def page_html(page: Page) -> str:
    """Return a page as HTML; every text in it is escaped."""
    style = STYLE + "".join(
        f".{_named(colour)} {{ background: #{_hex(colour)}; }}\n"
        for colour in sorted(_colours(page))
    )
    body = [f"<h1>{breakable(page.title)}</h1>", *map(_paragraph, page.words)]
    body += [_section(section) for section in page.sections]
    return document(page.title, style, "\n".join(body))


def _section(section: Section) -> str:
    parts = [f"<section>\n<h2>{breakable(section.heading)}</h2>", *map(_paragraph, section.words)]
    if section.legend:
        entries = (
            f"<li>{_spot(colour)}{breakable(words)}</li>" for colour, words in section.legend
        )
        parts.append(f'<ul class="legend">{"".join(entries)}</ul>')
    if section.figure is not None:
        parts.append(_image(section.figure.png, "png", section.figure.alt))
    if any(strip.label for strip in section.strips):
        parts.append(_table(section))
    else:
        for strip in section.strips:
            parts.append(f'<div class="strip">{"".join(map(_figure, strip.tiles))}</div>')
    return "\n".join([*parts, "</section>"])


def _table(section: Section) -> str:
    bands = "".join(
        f'<th scope="colgroup" colspan="{columns}">{breakable(words)}</th>'
        for words, columns in section.bands
    )
    head = f"<thead><tr><td></td>{bands}</tr></thead>" if bands else ""
    rows = "\n".join(map(_row, section.strips))
    label = escape(section.heading, quote=True)
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{label}">'
        f"<table>{head}<tbody>\n{rows}\n</tbody></table></div>"
    )


def _row(strip: Strip) -> str:
    spot = "" if strip.spot is None else _spot(strip.spot)
    words = f"<small>{breakable(strip.words)}</small>" if strip.words else ""
    cells = "".join(f"<td>{_figure(tile, strip.label)}</td>" for tile in strip.tiles)
    return f'<tr><th scope="row">{spot}{breakable(strip.label)}{words}</th>{cells}</tr>'


def _figure(tile: Tile, label: str = "") -> str:
    encoded = io.BytesIO()
    Image.fromarray(tile.picture).save(encoded, format="JPEG", quality=90)
    alt = ": ".join(filter(None, (label, tile.title, tile.subtitle)))
    spot = "" if tile.spot is None else _spot(tile.spot)
    words = f"<small>{breakable(tile.subtitle)}</small>" if tile.subtitle else ""
    caption = f"{spot}{breakable(tile.title)}{words}"
    return (
        (f"<figure><figcaption>{caption}</figcaption>" if caption else "<figure>")
        + _image(encoded.getvalue(), "jpeg", alt)
        + "</figure>"
    )


def _image(content: bytes, kind: str, alt: str) -> str:
    with Image.open(io.BytesIO(content)) as picture:
        width, height = picture.size
    data = base64.b64encode(content).decode()
    return (
        f'<img src="data:image/{kind};base64,{data}" width="{width}" height="{height}" '
        f'alt="{escape(alt, quote=True)}">'
    )


def _paragraph(words: str) -> str:
    return f"<p>{breakable(words)}</p>"


def _spot(colour: Colour) -> str:
    return f'<span class="spot {_named(colour)}"></span>'


def _named(colour: Colour) -> str:
    return f"c{_hex(colour)}"


def _hex(colour: Colour) -> str:
    return "{:02x}{:02x}{:02x}".format(*colour)


def _colours(page: Page) -> set[Colour]:
    found = {colour for section in page.sections for colour, _ in section.legend}
    for strip in (strip for section in page.sections for strip in section.strips):
        found |= {spot for spot in (strip.spot, *(tile.spot for tile in strip.tiles)) if spot}
    return found
