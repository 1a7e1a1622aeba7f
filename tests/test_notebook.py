"""What a notebook shows: a plot shows itself, and so does the answer to a lookup."""

import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pytest

from swindex.api import Client
from swindex.api.notebook import html_of
from swindex.api.plotting import NothingToDraw, Plot
from swindex.api.view import view
from swindex.index.store import Index

from . import records as make
from . import shown
from .documents import plain

PHI3 = "microsoft/Phi-3-mini-4k-instruct"
SVG = "{http://www.w3.org/2000/svg}svg"


@pytest.fixture(scope="module")
def plot(tmp_path_factory: pytest.TempPathFactory) -> Plot:
    return Client(shown.index(tmp_path_factory.mktemp("notebook"))).plot(shown.FOUND)


class Seen(HTMLParser):
    """The elements and texts of a piece of HTML; every element must be closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert all(name in ("style", "class") for name, _ in attrs)
        self.tags.append(tag)
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_a_plot_shows_itself_as_svg(plot: Plot) -> None:
    assert ElementTree.fromstring(plot._repr_svg_()).tag == SVG


def test_its_bundle_is_what_jupyter_asks_for(plot: Plot) -> None:
    assert set(plot._repr_mimebundle_()) == {"text/plain", "image/svg+xml"}
    assert set(plot._repr_mimebundle_(include={"image/png"})) == {"image/png"}
    assert set(plot._repr_mimebundle_(exclude={"image/svg+xml"})) == {"text/plain"}


def test_the_display_formatter_of_ipython_takes_it(plot: Plot) -> None:
    formatters = pytest.importorskip("IPython.core.formatters")

    data, _ = formatters.DisplayFormatter().format(plot)

    assert data["image/svg+xml"] == plot._repr_svg_()
    assert data["text/plain"] == f"Plot({shown.FOUND!r})"


@pytest.mark.parametrize(("name", "begins"), [("a.svg", b"<svg"), ("a.png", b"\x89PNG"), ("a.json", b"{")])
def test_a_plot_is_saved_as_its_ending_says(plot: Plot, name: str, begins: bytes, tmp_path: Path) -> None:
    plot.save(tmp_path / name)

    assert (tmp_path / name).read_bytes().startswith(begins)


def test_nothing_to_draw_is_said_at_once(tmp_path: Path) -> None:
    made = Index(tmp_path / "index")
    made.append(make.failed("org/failed"))

    with pytest.raises(NothingToDraw, match="org/failed: nothing to draw"):
        Client(tmp_path / "index").plot("org/failed")


def test_the_answer_to_a_lookup_shows_what_the_command_prints() -> None:
    seen = Seen(Client().lookup(PHI3)._repr_html_())

    assert seen.texts[0] == PHI3
    assert "model.model.layers[2].mlp.down_proj.weight[525, 808]" in seen.texts
    assert "What removing them does (perplexity before -> after)" in seen.texts
    assert set(seen.tags) == {"div", "table", "tr", "th", "td"}


def test_what_strangers_write_is_text() -> None:
    """A note with markup in it stays a note."""
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)> & so on"
    parts = make.reported_parts("org/evil")
    remark = parts["remarks"][0].model_copy(update={"text": evil})

    seen = Seen(html_of(view(plain(make.make({**parts, "remarks": (remark,)})))))

    assert set(seen.tags) == {"div", "table", "tr", "th", "td"}
    assert f"- L1[2,3]: {evil}" in seen.texts
