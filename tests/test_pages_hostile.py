"""What strangers write into records and addresses never becomes markup, a script or a link."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from swindex.api.pages.html import coded, https

from . import shown
from .parsed import parsed
from .served import Served, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(shown.index(tmp_path_factory.mktemp("hostile"))) as found:
        yield found


@pytest.mark.parametrize(
    "path", [f"/models/{shown.HOSTILE}", "/models", "/", "/index", "/changes", "/models?query=x%3Cb"]
)
def test_hostile_texts_are_texts(served: Served, path: str) -> None:
    found = parsed(served.get(path).text)

    assert [s.attributes.get("src", "").partition("/assets/")[0] for s in found.all("script")] == [""]
    assert [e for e in found.all() if any(name.startswith("on") for name in e.attributes)] == []
    assert found.all("img", src="x") == []


def test_hostile_texts_are_shown_as_they_are(served: Served) -> None:
    text = parsed(served.get(f"/models/{shown.HOSTILE}").text).one("main").exact

    assert text.count(shown.SCRIPT) >= 5
    assert shown.QUOTED in text


@pytest.mark.parametrize("path", [f"/models/{name}" for name in shown.EVERY])
def test_links_to_others_are_https_and_tell_nothing(served: Served, path: str) -> None:
    outside = [a for a in parsed(served.get(path).text).all("a") if not a["href"].startswith(("/", "#"))]

    assert outside
    assert all(a["href"].startswith("https://") and a["rel"] == "noopener nofollow" for a in outside)


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JavaScript://example.org/%0aalert(1)",
        "data:text/html,x",
        "http://example.org/",
        "//example.org/",
        "https:",
        "https:///x",
        "https://user:secret@example.org/",
        "https://example.org/\n",
        "https://example.org/ x",
        "https://exämple.org/",
        "https://[::1",
        "",
        None,
    ],
)
def test_what_is_no_plain_https_address_is_no_link(url: str | None) -> None:
    assert https(url) is None


def test_an_https_address_is_a_link_as_it_stands() -> None:
    assert https("https://arxiv.org/abs/2411.07191?a=b#c") == "https://arxiv.org/abs/2411.07191?a=b#c"


def test_code_in_a_description_is_escaped_too() -> None:
    assert str(coded("a `<b>` <i>")) == "a <code>&lt;b&gt;</code> &lt;i&gt;"


@pytest.mark.parametrize(
    "path",
    [
        "/models/%3Cscript%3Ealert(1)%3C%2Fscript%3E/x",
        "/models/a/%3Cscript%3E",
        "/models/..%2F..%2Fetc/passwd",
        "/charts/org/base/..%2F..%2Fpyproject.toml",
        "/charts/org/base/effects.exe",
        "/charts/org/base/secrets.svg",
        "/charts/index/nothing.svg",
        "/charts/org/none/effects.svg",
        "/charts/org/absent/effects.svg",
        "/assets/x/../../pyproject.toml",
        "/models?query=%00",
        "/models?query=" + "a" * 300,
        "/models?cursor=x",
        "/changes?before=0",
        "/changes?before=x",
        "/search?query=a&query=b",
    ],
)
def test_a_wrong_address_is_refused_without_a_trace(served: Served, path: str) -> None:
    answer = served.get(path, accept="text/html")

    assert answer.status_code in (404, 422)
    assert "<script>alert" not in answer.text
    assert "Traceback" not in answer.text


def test_a_chart_of_hostile_texts_is_an_image_without_a_script(served: Served) -> None:
    for kind in ("effects.svg", "effects-dark-narrow.svg"):
        svg = parsed(served.get(f"/charts/{shown.HOSTILE}/{kind}").text)
        assert {e.name for e in svg.all()} <= {"svg", "g", "path", "text", "rect", "line", "title", "defs", "clippath"}
        assert [e for e in svg.all() if any(name.startswith("on") or "href" in name for name in e.attributes)] == []


def test_a_chart_that_is_opened_by_itself_can_do_nothing(served: Served) -> None:
    policy = served.get(f"/charts/{shown.FOUND}/effects.svg").headers["content-security-policy"]

    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert "script-src" not in policy


def test_a_page_names_no_path_of_the_machine(served: Served, tmp_path: Path) -> None:
    for path in ("/", "/models", f"/models/{shown.FOUND}", "/index", "/nowhere"):
        assert "/tmp/" not in served.get(path, accept="text/html").text
