"""From a chart to a spec, SVG or PNG: by vl-convert, which asks no network. One drawing at a time."""

import json
import threading
from typing import Any

import altair as alt
import vl_convert

from .themes import Look, config

Json = dict[str, Any]
Chart = alt.TopLevelMixin
_VERSION = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
_LOCK = threading.Lock()
"""vl-convert has one engine; who waits for it here holds nothing of it."""
SCALE = 2.0
"""Pixels of a PNG for each of the chart."""


def spec_of(chart: Chart, look: Look, title: str) -> Json:
    """The Vega-Lite spec of a chart, checked against its schema, with the data in it."""
    spec: Json = chart.to_dict()
    return {**spec, "config": config(look.theme), "usermeta": {"title": title}}


def to_json(spec: Json) -> bytes:
    """A spec as a file."""
    return json.dumps(spec, indent=1, allow_nan=False).encode() + b"\n"


def to_svg(spec: Json) -> bytes:
    """A spec drawn as SVG."""
    with _LOCK:
        svg: str = vl_convert.vegalite_to_svg(spec, vl_version=_VERSION, allowed_base_urls=[])
    return svg.encode()


def to_png(spec: Json) -> bytes:
    """A spec drawn as PNG."""
    with _LOCK:
        png: bytes = vl_convert.vegalite_to_png(spec, vl_version=_VERSION, scale=SCALE, allowed_base_urls=[])
    return png


DRAW = {"svg": to_svg, "png": to_png, "json": to_json}
"""By the ending of a file's name."""
MEDIA = {"svg": "image/svg+xml", "png": "image/png", "json": "application/json"}
