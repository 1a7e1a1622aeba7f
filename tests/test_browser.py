"""The pages in headless Chromium: what a person does with them, also without JavaScript, on a phone, in the dark."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from swindex.api.pages import whole

from . import shown
from .browsing import launched, needs_chromium
from .served import Served, serving

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
pytestmark = needs_chromium

MODEL = f"/models/{shown.FOUND}"
PAGES = (
    "/",
    "/models",
    "/index",
    "/changes",
    "/about",
    "/api",
    "/submit",
    *(f"/models/{name}" for name in (shown.FOUND, shown.REPORTED, shown.CHILD, shown.DISPUTED, shown.HOSTILE)),
    "/models/org/absent",
)
_SEVERE = {"serious", "critical"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(shown.index(tmp_path_factory.mktemp("browser"))) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as found:
        yield found


class Seen:
    """What a page said and asked for while it was looked at."""

    def __init__(self, page: Any) -> None:
        self.errors: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda each: self.errors.append(each.text) if each.type in ("error", "warning") else None)
        page.on("pageerror", lambda each: self.errors.append(str(each)))
        page.on("request", lambda each: self.requests.append(each.url))


@contextmanager
def looking(browser: Any, served: Served, path: str, **more: Any) -> Iterator[tuple[Any, Seen]]:
    """A page in a context of its own."""
    size = {"width": more.pop("width", 1100), "height": 800}
    context = browser.new_context(viewport=size, base_url=served.url, **more)
    page = context.new_page()
    page.set_default_timeout(10_000)
    seen = Seen(page)
    page.goto(path)
    try:
        yield page, seen
    finally:
        context.close()


# --- every page ---


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_no_serious_finding_of_axe_in_light_and_dark(browser: Any, served: Served, path: str) -> None:
    found = []
    with looking(browser, served, path) as (page, _):
        page.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found += axe.Axe().run(page).response["violations"]

    assert [(v["id"], [n["html"] for n in v["nodes"]][:3]) for v in found if v["impact"] in _SEVERE] == []


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_quiet_asks_nobody_else_and_fits_a_phone(browser: Any, served: Served, path: str) -> None:
    with looking(browser, served, path, width=360) as (page, seen):
        width = page.evaluate("document.documentElement.scrollWidth")

    missing = "Failed to load resource: the server responded with a status of 404 (Not Found)"
    assert [e for e in seen.errors if e != missing or "absent" not in path] == []
    assert [at for at in seen.requests if not at.startswith(f"{served.url}/")] == []
    assert width == 360


@pytest.mark.parametrize("path", ["/", MODEL, "/index"])
def test_without_a_style_sheet_a_page_can_be_read(browser: Any, served: Served, path: str) -> None:
    with looking(browser, served, "/about") as (page, _):
        page.route("**/*.css", lambda route: route.abort())
        page.goto(path)
        order = page.evaluate("[...document.querySelectorAll('a.skip, header, main, footer')].map(e => e.localName)")
        hidden = page.evaluate(
            "document.querySelectorAll('main *').length > 20 && !document.querySelector('main').hidden"
        )

    assert order == ["a", "header", "main", "footer"]
    assert hidden


# --- search ---


def test_a_search_for_an_id_leads_to_the_model(browser: Any, served: Served) -> None:
    with looking(browser, served, "/") as (page, _):
        page.get_by_label("Find a model").fill("ORG/Base")
        page.get_by_role("button", name="Search").click()
        page.wait_for_url(f"**{MODEL}")

        assert page.get_by_role("heading", level=1).inner_text() == shown.FOUND


def test_a_small_index_suggests_every_model_without_asking(browser: Any, served: Served) -> None:
    with looking(browser, served, "/", java_script_enabled=False) as (page, seen):
        suggested = page.locator("#suggestions option").evaluate_all("all => all.map(e => e.value)")

    assert suggested == sorted(shown.EVERY)
    assert [at for at in seen.requests if "/v1/" in at] == []


def test_a_large_index_suggests_what_fits_what_was_typed(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole, "_SUGGESTED", 0)
    with serving(shown.index(tmp_path)) as served, looking(browser, served, "/") as (page, seen):
        page.get_by_label("Find a model").press_sequentially("hild")
        page.locator("#suggestions option").first.wait_for(state="attached")
        suggested = page.locator("#suggestions option").evaluate_all("all => all.map(e => e.value)")

    assert (suggested, seen.errors) == ([shown.CHILD], [])


def test_filters_without_javascript(browser: Any, served: Served) -> None:
    with looking(browser, served, "/models", java_script_enabled=False) as (page, _):
        page.get_by_label("Strongest verdict").select_option("confirmed")
        page.get_by_label("Name contains").fill("base")
        page.get_by_role("button", name="Filter").click()

        assert page.locator("tbody a").all_inner_texts() == [shown.FOUND]


# --- a model ---


def test_a_coordinate_is_copied(browser: Any, served: Served) -> None:
    permitted = ["clipboard-read", "clipboard-write"]
    with looking(browser, served, MODEL, permissions=permitted) as (page, seen):
        page.get_by_role("button", name="Copy Index expressions").click()
        page.get_by_text("Copied").wait_for()
        copied = page.evaluate("navigator.clipboard.readText()")

    assert copied.splitlines() == [f"model.model.layers[1].mlp.down_proj.weight[{row}, 3]" for row in (2, 7)]
    assert seen.errors == []


def test_json_is_copied_as_json(browser: Any, served: Served) -> None:
    permitted = ["clipboard-read", "clipboard-write"]
    with looking(browser, served, MODEL, permissions=permitted) as (page, _):
        page.locator("summary", has_text="JSON").click()
        page.get_by_role("button", name="Copy JSON").click()
        page.get_by_text("Copied").wait_for()

        assert [w["id"] for w in json.loads(page.evaluate("navigator.clipboard.readText()"))] == [
            "L1.R2.C3",
            "L1.R7.C3",
        ]


def test_without_javascript_there_are_no_buttons_that_do_nothing(browser: Any, served: Served) -> None:
    with looking(browser, served, MODEL, java_script_enabled=False) as (page, _):
        shown_buttons = [b for b in page.locator("button").all() if b.is_visible()]
        code = page.locator("#copy-expressions").inner_text()

        assert shown_buttons == []
        assert code.startswith("model.model.layers[1].mlp.down_proj.weight[2, 3]")


@pytest.mark.parametrize(
    ("width", "scheme", "ending"),
    [(1100, "light", ""), (1100, "dark", "-dark"), (360, "light", "-narrow"), (360, "dark", "-dark-narrow")],
)
@pytest.mark.parametrize(("path", "charts"), [(MODEL, ["effects", "profile"]), ("/index", list(whole.CHARTS))])
def test_charts_are_there_in_the_theme_and_width_of_the_page(
    browser: Any, served: Served, path: str, charts: list[str], width: int, scheme: str, ending: str
) -> None:
    with looking(browser, served, path, width=width, color_scheme=scheme) as (page, _):
        told = "all => all.map(e => [e.currentSrc, e.complete && e.naturalWidth > 100 && e.naturalHeight > 50])"
        found = page.locator("main img").evaluate_all(told)

    assert [(at.rpartition("/")[2], drawn) for at, drawn in found] == [(f"{c}{ending}.svg", True) for c in charts]


def test_a_chart_that_is_opened_by_itself_is_drawn_and_quiet(browser: Any, served: Served) -> None:
    with looking(browser, served, f"/charts/{shown.FOUND}/effects.svg") as (page, seen):
        assert page.locator("path").count() > 6
        assert seen.errors == []


def test_a_link_to_a_schema_opens_it(browser: Any, served: Served) -> None:
    with looking(browser, served, "/api") as (page, _):
        page.locator("a[href='#schema-ProblemDetails']").first.click()
        page.locator("#schema-ProblemDetails table").wait_for()

        assert page.locator("#schema-ProblemDetails").get_attribute("open") is not None


def test_hostile_texts_run_nothing(browser: Any, served: Served) -> None:
    with looking(browser, served, f"/models/{shown.HOSTILE}") as (page, seen):
        page.on("dialog", lambda each: seen.errors.append(each.message))
        page.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")

        assert page.get_by_text(shown.SCRIPT).first.is_visible()
        assert seen.errors == []


# --- theme, keyboard, print ---


def test_a_theme_of_one_s_own_is_kept_and_charts_follow(browser: Any, served: Served) -> None:
    with looking(browser, served, MODEL, color_scheme="light") as (page, _):
        button = page.get_by_role("button", name="Theme: auto")
        button.click()
        page.get_by_role("button", name="Theme: light").click()
        page.reload()
        kept = page.evaluate("[document.documentElement.dataset.theme, document.querySelector('main img').currentSrc]")
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")

    assert (kept[0], kept[1].rpartition("/")[2], paper) == ("dark", "effects-dark.svg", "rgb(23, 26, 31)")


def test_the_keyboard_comes_to_the_content_first_and_sees_where_it_is(browser: Any, served: Served) -> None:
    with looking(browser, served, MODEL) as (page, _):
        page.keyboard.press("Tab")
        skip = page.evaluate(
            "[document.activeElement.textContent, getComputedStyle(document.activeElement).outlineWidth]"
        )
        left = page.evaluate("document.activeElement.getBoundingClientRect().left >= 0")
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        inside = page.evaluate("document.querySelector('main').contains(document.activeElement)")

    assert (skip, left, inside) == (["Skip to the content", "3px"], True, True)


def test_on_paper_there_is_the_content_and_no_controls(browser: Any, served: Served) -> None:
    with looking(browser, served, MODEL) as (page, _):
        page.emulate_media(media="print")

        assert [e.is_visible() for e in page.locator(".top nav, button, .search").all()].count(True) == 0
        assert page.get_by_role("heading", level=1).is_visible()
