"""HTML as tests ask it: elements with their attributes and their text, by the parser of the standard library."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser

_VOID = frozenset({"meta", "link", "input", "img", "source", "br", "hr"})


class Element:
    """An element: its name, its attributes, what is in it."""

    def __init__(self, name: str, attributes: dict[str, str], parent: Element | None) -> None:
        self.name, self.attributes, self.parent = name, attributes, parent
        self.inside: list[Element | str] = []

    def __getitem__(self, attribute: str) -> str:
        return self.attributes[attribute]

    @property
    def text(self) -> str:
        """All text in it, white space as one blank."""
        return " ".join("".join(self._texts()).split())

    @property
    def exact(self) -> str:
        """All text in it, as it stands."""
        return "".join(self._texts())

    def all(self, name: str | None = None, /, **wanted: str) -> list[Element]:
        """The elements in it of this name and with these attributes."""
        return [
            e
            for e in self._walk()
            if name in (None, e.name) and all(e.attributes.get(a) == v for a, v in wanted.items())
        ]

    def one(self, name: str | None = None, /, **wanted: str) -> Element:
        """The only such element."""
        [found] = self.all(name, **wanted)
        return found

    def _walk(self) -> Iterator[Element]:
        for each in self.inside:
            if isinstance(each, Element):
                yield each
                yield from each._walk()

    def _texts(self) -> Iterator[str]:
        for each in self.inside:
            if isinstance(each, str):
                yield each
            else:
                yield from each._texts()


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = self.at = Element("", {}, None)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        made = Element(tag, {name: value or "" for name, value in attrs}, self.at)
        self.at.inside.append(made)
        if tag not in _VOID:
            self.at = made

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID:
            return
        assert self.at.name == tag, f"</{tag}> closes <{self.at.name}>"
        assert self.at.parent is not None
        self.at = self.at.parent

    def handle_data(self, data: str) -> None:
        self.at.inside.append(data)


def parsed(text: str) -> Element:
    """A page; fails where tags do not close in order."""
    parser = _Parser()
    parser.feed(text)
    parser.close()
    assert parser.at is parser.root, f"<{parser.at.name}> is not closed"
    return parser.root
