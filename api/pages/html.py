"""From a template and what it shows to an answer. Knows escaping, headers and the files beside the pages.

Everything that a record says was written by strangers: it is escaped, and only https addresses become links.
"""

from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import jinja2
from markupsafe import Markup, escape

from ..page import clean, number
from ..service.answer import IMMUTABLE, Answer

Json = dict[str, Any]
HTML = "text/html; charset=utf-8"
CSP = "; ".join(
    (
        "default-src 'none'",
        *(f"{kind}-src 'self'" for kind in ("style", "script", "img", "connect")),
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
CHART_CSP = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'"
"""Of a chart that is opened by itself: SVG carries its fonts in style attributes, and nothing else."""
_HERE = Path(__file__).parent
_MEDIA = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


class Page(NamedTuple):
    """A template and what it shows."""

    template: str
    context: Json
    status: int = 200


def answer(page: Page, cache: str) -> Answer:
    """A page as an answer."""
    headers = {"content-security-policy": CSP, "cross-origin-resource-policy": "same-origin"}
    text = _environment().get_template(page.template).render(page.context)
    return Answer(text.encode(), cache, media=HTML, status=page.status, headers=headers)


# --- files ---


@lru_cache(1)
def assets() -> dict[str, bytes]:
    """The files beside the pages, by name."""
    return {path.name: path.read_bytes() for path in sorted((_HERE / "static").iterdir())}


def asset_url(name: str) -> str:
    """The address of a file: it names the content, so that a cache may keep it for ever."""
    return f"/assets/{sha256(assets()[name]).hexdigest()[:12]}/{name}"


def asset(digest: str, name: str) -> Answer | None:
    """A file, if there is one of this content."""
    if name not in assets() or asset_url(name) != f"/assets/{digest}/{name}":
        return None
    return Answer(assets()[name], IMMUTABLE, media=_MEDIA[Path(name).suffix])


# --- what templates say ---


def https(url: object) -> str | None:
    """The address, if it is one that a link may lead to: https, with a host, of printable ASCII."""
    text = str(url or "")
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError:
        return None
    printable = text.isascii() and all("!" <= c <= "~" for c in text)
    return text if printable and parts.scheme == "https" and host and "@" not in parts.netloc else None


def words(text: object) -> str:
    """An identifier of a record in words."""
    return str(text).replace("non_finite", "not finite").replace("_", " ")


def ratio(value: float | None) -> str:
    """A ratio of perplexities; a dash for none."""
    return "–" if value is None else f"×{number(value)}"


def coded(text: object) -> Markup:
    """A text with what stands between backticks as code; everything is escaped."""
    parts = [escape(part) for part in str(text).split("`")]
    return Markup("").join(Markup("<code>{}</code>").format(p) if n % 2 else p for n, p in enumerate(parts))


def model_path(model_id: str) -> str:
    """The path of a model's page."""
    return f"/models/{quote(model_id)}"


@lru_cache(1)
def _environment() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(_HERE / "templates")
    made = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters |= {"https": https, "words": words, "ratio": ratio, "number": number, "clean": clean}
    made.filters |= {"model_path": model_path, "coded": coded, "sized": lambda n: f"{n:,}"}
    made.globals |= {"asset_url": asset_url}
    return made
