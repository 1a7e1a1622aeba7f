"""The pages of submissions: HTML over HTTP, and in headless Chromium a submission that changes its state."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from swindex.index.submissions.codes import Said
from swindex.index.submissions.document import make
from swindex.index.submissions.entry import Entry, Pull, Sender, Step
from swindex.index.submissions.states import State
from swindex.index.submissions.store import Store
from swindex.index.submissions.tokens import Tokens

from . import records as parts
from . import shown
from .browsing import launched, needs_chromium
from .parsed import Element, parsed
from .served import Served, serving
from .test_serve_submissions import MANY, SCRIPT, Taking

SHA, TIME = "a" * 40, "2026-11-21T12:00:00Z"
FORM = "application/x-www-form-urlencoded"


def filled(folder: Path) -> dict[str, Entry]:
    """A store with a submission in each of these states; one with texts that do harm where they are not escaped."""
    store = Store(folder)
    told: dict[str, Entry] = {}
    for number, name in enumerate(("waits", "accepted", "hostile")):
        sender = Sender("alice") if name != "hostile" else Sender("hf:mallory", Pull("org/index", 7, SHA))
        told[name] = store.receive(make(f"org/m{number}", SHA, note=SCRIPT).to_bytes(), sender, TIME)[0]
    store.step(told["accepted"], Step(State.CHECKING, TIME, "curator"))
    seen = {"checked": "x", "claimed": 2, "agreed": ["a", "b"], "bytes": 1312, "bits": {"same": 2}}
    said = (Said("bits-same", "2 of 2"), Said("rescan-agrees", "2 of 2"))
    store.step(told["accepted"], Step(State.NEEDS_REVIEW, TIME, "curator", "", said, seen))
    found = {"version": 3, "confirmations": {"L1.R2.C3": {"ours": True, "submitters": ["submitter-alice"]}}}
    store.step(told["accepted"], Step(State.ACCEPTED, TIME, "curator", "fine", (), found))
    store.step(told["hostile"], Step(State.CHECKING, TIME, SCRIPT))
    harm = (Said("malformed", f"{SCRIPT}{shown.QUOTED}" + "x" * 300),)
    store.step(told["hostile"], Step(State.REJECTED, TIME, SCRIPT, SCRIPT, harm))
    return {name: store.get(entry.id) for name, entry in told.items()}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("pages")
    with serving(shown.index(folder / "index"), MANY, submissions=folder / "submissions") as found:
        found.entries = filled(folder / "submissions")  # type: ignore[attr-defined]
        found.taking = Taking(found, folder / "submissions")  # type: ignore[attr-defined]
        yield found


def paths(served: Any) -> list[str]:
    return ["/submit", "/submissions", *(f"/submissions/{e.id}" for e in served.entries.values())]


def page(served: Served, path: str) -> Element:
    answer = served.get(path, accept="text/html")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    return parsed(answer.text)


def post(served: Served, **fields: str) -> Any:
    return served.ask("POST", "/submit", urlencode(fields).encode(), content_type=FORM, accept="text/html")


# --- HTML ---


def test_pages_are_kept_by_no_cache_and_have_a_strict_policy(served: Served) -> None:
    for path in paths(served):
        headers = served.get(path).headers
        assert headers["cache-control"] == "no-store"
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]


def test_every_field_has_a_label_and_every_table_a_caption(served: Served) -> None:
    for path in paths(served):
        found = page(served, path)
        fields = {e["id"] for e in found.all() if e.name in ("input", "select", "textarea")}
        assert fields == {label["for"] for label in found.all("label")}
        assert all(table.one("caption").text for table in found.all("table"))
        ids = [e["id"] for e in found.all() if "id" in e.attributes]
        assert len(ids) == len(set(ids))


def test_links_of_these_pages_lead_somewhere(served: Served) -> None:
    for path in paths(served):
        links = {a["href"] for a in page(served, path).all("a") if a["href"].startswith("/")}
        gone = {at for at in links if served.get(at).status_code != 200}
        assert gone <= {"/models/org/m1"}  # the index of this test has not what it accepted


def test_a_submission_s_page_tells_its_states_and_what_was_found(served: Any) -> None:
    text = page(served, f"/submissions/{served.entries['accepted'].id}").one("main").text

    for said in ("accepted", "Version 3", "bits-same", "2 of 2", "1,312", "alice", "L1.R2.C3"):
        assert said in text


def test_a_page_follows_its_submission_only_while_that_waits(served: Any) -> None:
    waits, done = (served.get(f"/submissions/{served.entries[n].id}").text for n in ("waits", "accepted"))

    assert ('http-equiv="refresh"' in waits, "data-live" in waits) == (True, True)
    assert ('http-equiv="refresh"' in done, "data-live" in done) == (False, False)


def test_hostile_texts_are_texts(served: Any) -> None:
    for path in paths(served):
        found = parsed(served.get(path).text)
        assert [s.attributes.get("src", "").partition("/assets/")[0] for s in found.all("script")] == [""]
        assert [e for e in found.all() if any(name.startswith("on") for name in e.attributes)] == []
    text = page(served, f"/submissions/{served.entries['hostile'].id}").one("main").exact
    assert text.count(SCRIPT) >= 3


def test_a_note_to_the_curators_is_on_no_page(served: Any) -> None:
    assert SCRIPT not in page(served, f"/submissions/{served.entries['waits'].id}").one("main").exact


@pytest.mark.parametrize("path", ["/submissions/0123456789abcdef", "/submissions/..%2f", "/submissions/%3Cb%3E"])
def test_what_is_no_submission_is_a_page_that_says_so(served: Served, path: str) -> None:
    answer = served.get(path, accept="text/html")

    assert answer.status_code == 404
    assert "<b>" not in answer.text


def test_without_submissions_there_is_a_page_of_how_to_and_no_form(tmp_path: Path) -> None:
    with serving(shown.index(tmp_path)) as served:
        found = page(served, "/submit")
        sent, listed = post(served, model="org/x", token="x"), served.get("/submissions")

    assert found.all("form") == []
    assert (sent.status_code, listed.status_code) == (404, 404)


# --- forms ---


def test_a_form_leads_to_the_submission_without_javascript(served: Any) -> None:
    answer = post(served, model="org/form", revision=SHA, note="", token=served.taking.token)

    entry = served.taking.store.get(answer.headers["location"].rpartition("/")[2])
    assert (answer.status_code, entry.model, entry.sender.name) == (303, "org/form", "alice")


def test_a_record_is_pasted_as_it_is_in_its_file(served: Any) -> None:
    made = parts.found_parts("org/pasted")
    made["scans"] = (parts.scan("scan-1", revision=SHA),)
    record = parts.make(made).model_dump(mode="json")
    text = json.dumps(record, indent=1).replace("\n", "\r\n")

    answer = post(served, record=text, token=served.taking.token)

    document = served.taking.store.document(served.taking.store.get(answer.headers["location"].rpartition("/")[2]))
    assert (document.record, document.model, document.revision) == (record, "org/pasted", SHA)


BAD: dict[str, tuple[dict[str, str], int]] = {
    "no token": ({"model": "org/x"}, 401),
    "a wrong token": ({"model": "org/x", "token": "swx_" + "E" * 43}, 401),
    "no model": ({"model": "<script>alert(1)</script>", "token": "T"}, 422),
    "an address": ({"model": "http://127.0.0.1/x", "token": "T"}, 422),
    "a branch": ({"model": "org/x", "revision": "main", "token": "T"}, 422),
    "no record": ({"record": "", "token": "T"}, 422),
    "half a record": ({"record": '{"model": {', "token": "T"}, 422),
    "a record of nothing": ({"record": "{}", "token": "T"}, 422),
    "a list": ({"record": "[]", "token": "T"}, 422),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_with_a_form_is_said_above_it_and_no_token_comes_back(served: Any, name: str) -> None:
    fields, status = BAD[name]
    given = {**fields, **({"token": served.taking.token} if fields.get("token") == "T" else {})}

    answer = post(served, **given)

    found = parsed(answer.text)
    assert (answer.status_code, bool(found.one("p", id="problem").text)) == (status, True)
    assert "swx_" not in answer.text
    assert "<script>alert" not in answer.text


@pytest.mark.parametrize(
    ("body", "media"),
    [(b"\xff", FORM), (b"a=%ff", FORM), (b"&".join([b"a=1"] * 50), FORM), (b"{}", "application/json"), (b"", "")],
)
def test_what_is_no_form_is_refused(served: Served, body: bytes, media: str) -> None:
    assert served.ask("POST", "/submit", body, content_type=media).status_code in (401, 422)


def test_a_form_counts_as_a_try_of_its_address(tmp_path: Path) -> None:
    with serving(settings=MANY._replace(hourly=1), submissions=tmp_path) as served:
        statuses = [post(served, model="org/x", token="x").status_code for _ in range(2)]

    assert statuses == [401, 429]


# --- in a browser ---


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as found:
        yield found


def opened(browser: Any, served: Served, **more: Any) -> Any:
    context = browser.new_context(base_url=served.url, **{"viewport": {"width": 1100, "height": 800}, **more})
    found = context.new_page()
    found.set_default_timeout(20_000)
    return found


@needs_chromium
@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without"])
def test_one_submits_and_watches_it_change_its_state(browser: Any, tmp_path: Path, script: bool) -> None:
    with serving(shown.index(tmp_path / "index"), MANY, submissions=tmp_path / "submissions") as served:
        store, tokens = Store(tmp_path / "submissions"), Tokens(tmp_path / "submissions")
        looking = opened(browser, served, java_script_enabled=script)
        errors: list[str] = []
        looking.on("console", lambda each: errors.append(each.text) if each.type == "error" else None)
        looking.goto("/submit")
        form = looking.locator("form", has=looking.get_by_role("button", name="Ask for a scan"))
        form.get_by_label("Model, as on the Hub").fill("demo/one")
        form.get_by_label("Token").fill(tokens.create("alice", ("request",), TIME)[0])
        form.get_by_role("button", name="Ask for a scan").click()
        looking.wait_for_url("**/submissions/*")
        first = looking.get_by_role("status").inner_text()
        entry = store.step(store.get(looking.url.rpartition("/")[2]), Step(State.CHECKING, TIME, "curator"))
        looking.get_by_role("status").get_by_text("checking", exact=True).wait_for()
        store.step(entry, Step(State.REJECTED, TIME, "curator", "", (Said("not-on-hub", "gone"),), {"checked": "x"}))
        looking.get_by_role("status").get_by_text("rejected", exact=True).wait_for()
        found = looking.locator("main").inner_text()
        looking.context.close()

    assert first.startswith("received")
    assert "not-on-hub" in found
    assert errors == []


def seen(browser: Any, served: Served, path: str) -> list[Any]:
    """What is wrong with a page on a phone, in light and dark."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    problems: list[Any] = []
    looking = opened(browser, served, viewport={"width": 360, "height": 800})
    looking.on("console", lambda each: problems.append(each.text) if each.type == "error" else None)
    looking.on("dialog", lambda each: problems.append(each.message))
    looking.goto(path)
    looking.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
    width = looking.evaluate("document.documentElement.scrollWidth")
    for scheme in ("light", "dark"):
        looking.emulate_media(color_scheme=scheme)
        broken = axe.Axe().run(looking).response["violations"]
        problems += [v["id"] for v in broken if v["impact"] in ("serious", "critical")]
    looking.context.close()
    return problems + ([f"{width} wide"] if width != 360 else [])


@needs_chromium
def test_these_pages_are_quiet_fit_a_phone_and_have_no_serious_finding_of_axe(browser: Any, served: Any) -> None:
    assert {path: seen(browser, served, path) for path in paths(served)} == {path: [] for path in paths(served)}
