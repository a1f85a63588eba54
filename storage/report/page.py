"""The page: one HTML file with its styles, scripts and data in it.

A policy in the page forbids everything else: to reach any address, and to run or style by anything
but what stands here, by its hash. So a name that somebody chose cannot become code, should its
escaping ever fail. Data is one block of JSON, in which no "<" stands.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from typing import Any

SCRIPTS = (
    *("dom", "format", "scales", "axes", "filters", "state"),
    *("front", "parallel", "lines", "bars"),
    *("card", "table", "sections", "main"),
)
"""Files of assets/, each of which may use those before it."""


def report_page(data: Mapping[str, Any]) -> str:
    """Return the HTML of a page that shows `data`, see `report_data`."""
    script = "\n".join(_asset(f"{name}.js") for name in SCRIPTS)
    script = f'(() => {{\n"use strict";\n{script}\n}})();\n'
    style = _asset("style.css")
    assert "</" not in script, "the browser would end the script there"
    parts = {
        "TITLE": escape(f"{data['study']['name']}: report of a study"),
        "POLICY": _policy(script, style),
        "STYLE": style,
        "DATA": _json(data),
        "SCRIPT": script,
    }
    page = _asset("page.html")
    for name, text in parts.items():
        before, mark, after = page.partition(f"<!--{name}-->")
        assert mark, f"page.html lacks <!--{name}-->"
        page = before + text + after
    return page


def _policy(script: str, style: str) -> str:
    allowed = {
        "default-src": "'none'",
        "script-src": _hash(script),
        "style-src": _hash(style),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{kind} {source}" for kind, source in allowed.items())


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _json(data: Mapping[str, Any]) -> str:
    """Return JSON that cannot end the block it stands in, whatever its strings are."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _asset(name: str) -> str:
    return (files("storage.report") / "assets" / name).read_text(encoding="utf-8")
