"""An HTML file of its own: no script, and nothing to be fetched.

A policy in the page allows pictures that stand in it and the one style, by its hash; so a class
name cannot become more than text.
"""

import base64
import hashlib
import re
from html import escape


def breakable(words: str) -> str:
    """Return words as HTML; long names may be broken where `page_picture` breaks them."""
    return re.sub(r"([_/-])", r"\1<wbr>", escape(words))


def document(title: str, style: str, body: str) -> str:
    """Return a whole page of a title, which is escaped here, a style sheet, and HTML to show."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )
