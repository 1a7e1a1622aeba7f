"""The pages, as HTML over HTTP: what stands in them, what can be followed from them, what they never let through."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest

from swindex.api.client import Client
from swindex.api.pages import keeping
from swindex.api.paste import coordinate
from swindex.index.store import Index
from swindex.schema import rules

from . import records as make
from . import shown
from .parsed import Element, parsed
from .served import Served, serving, until

PAGES = (
    "/",
    "/models",
    "/models?query=org&family=&verdict=confirmed",
    "/index",
    "/changes",
    "/about",
    "/api",
    "/submit",
    *(f"/models/{name}" for name in shown.EVERY),
)
WRONG = ("/models/org/absent", "/nowhere", "/models?verdict=x", "/models?colour=red")
BROWSER = "text/html,application/xhtml+xml,*/*;q=0.8"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shown.index(tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="module")
def served(directory: Path) -> Iterator[Served]:
    with serving(directory) as found:
        yield found


def page(served: Served, path: str, status: int = 200) -> Element:
    answer = served.get(path, accept=BROWSER)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    return parsed(answer.text)


def section(found: Element, name: str) -> Element:
    return found.one("section", **{"aria-labelledby": name})


def rows(table: Element) -> list[list[str]]:
    return [[cell.text for cell in row.all() if cell.name in ("td", "th")] for row in table.all("tr")]


# --- every page ---


@pytest.mark.parametrize("path", PAGES)
def test_a_page_has_one_heading_a_title_a_description_and_its_language(served: Served, path: str) -> None:
    found = page(served, path)

    assert found.one("h1").text
    assert found.one("title").text.endswith("swindex") or path == "/"
    assert 20 < len(found.one("meta", name="description")["content"]) < 300
    assert found.one("html")["lang"] == "en"


@pytest.mark.parametrize("path", PAGES)
def test_the_canonical_address_is_the_page_without_its_query(served: Served, path: str) -> None:
    assert page(served, path).one("link", rel="canonical")["href"] == path.partition("?")[0]


@pytest.mark.parametrize("path", [*PAGES, *WRONG])
def test_a_page_has_nothing_inline_and_nothing_of_other_hosts(served: Served, path: str) -> None:
    found = parsed(served.get(path, accept=BROWSER).text)
    loaded = [e.attributes.get("src") or e.attributes.get("srcset") for e in found.all()]
    sheets = [e["href"] for e in found.all("link") if e["rel"] in ("stylesheet", "icon")]

    assert [e for e in found.all() if any(a == "style" or a.startswith("on") for a in e.attributes)] == []
    assert found.all("style") == []
    assert [e.exact for e in found.all("script")] == [""]
    assert all(at.startswith("/") and not at.startswith("//") for at in [*loaded, *sheets] if at)


@pytest.mark.parametrize("path", [*PAGES, *WRONG])
def test_the_policy_allows_only_what_the_service_itself_sends(served: Served, path: str) -> None:
    policy = dict(
        part.strip().split(" ", 1)
        for part in served.get(path, accept=BROWSER).headers["content-security-policy"].split(";")
    )

    assert policy.pop("default-src") == "'none'"
    assert set(policy.values()) <= {"'self'", "'none'"}
    assert {"script-src", "style-src", "img-src", "form-action", "base-uri", "frame-ancestors"} <= set(policy)


@pytest.mark.parametrize("path", PAGES)
def test_every_table_has_a_caption_and_every_head_cell_says_what_it_heads(served: Served, path: str) -> None:
    for table in page(served, path).all("table"):
        assert table.one("caption").text
        assert {cell.attributes.get("scope") for cell in table.all("th")} <= {"col", "row", "rowgroup"}


@pytest.mark.parametrize("path", PAGES)
def test_every_field_has_a_label_and_every_picture_a_text(served: Served, path: str) -> None:
    found = page(served, path)
    labelled = {label["for"] for label in found.all("label")}
    ids = [e["id"] for e in found.all() if "id" in e.attributes]

    assert {e["id"] for e in found.all() if e.name in ("input", "select")} == labelled
    assert all(len(image["alt"]) > 20 for image in found.all("img"))
    assert len(ids) == len(set(ids))


def test_every_link_of_every_page_leads_somewhere(served: Served) -> None:
    seen: dict[str, int] = {}
    waiting = ["/"]
    while waiting:
        at = waiting.pop()
        answer = served.get(at)
        seen[at] = answer.status_code
        if answer.headers["content-type"].startswith("text/html"):
            found = parsed(answer.text)
            anchors = {e["id"] for e in found.all() if "id" in e.attributes}
            for address in addresses(found):
                to = urlsplit(urljoin(at, address))
                assert to.netloc or to.path != at or not to.fragment or to.fragment in anchors, f"{at}: {address}"
                local = to._replace(fragment="").geturl()
                if not to.netloc and local not in seen and local not in waiting:
                    waiting.append(local)

    assert {at: status for at, status in seen.items() if status != 200} == {}
    assert {p for p in PAGES if "?" not in p} <= set(seen)


def addresses(found: Element) -> list[str]:
    """Where links, pictures and files of a page lead."""
    links = [e[a] for e in found.all() for a in ("href", "src", "srcset") if a in e.attributes]
    return [at for at in links if not at.startswith("https://")]


# --- caches ---


@pytest.mark.parametrize("path", [*PAGES, f"/charts/{shown.FOUND}/effects.svg", "/charts/index/verdicts-dark.svg"])
def test_a_page_has_an_etag_that_spares_its_body(served: Served, path: str) -> None:
    first = served.get(path)
    again = served.get(path, if_none_match=first.headers["etag"])

    assert (again.status_code, again.content) == (304, b"")
    assert first.headers["cache-control"] == served.get(f"/v1/models/{shown.FOUND}").headers["cache-control"]


def test_the_files_beside_the_pages_may_be_kept_for_ever_for_their_names_name_their_content(served: Served) -> None:
    sheet = page(served, "/").one("link", rel="stylesheet")["href"]
    answer = served.get(sheet)
    digest = sheet.split("/")[2]

    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert "immutable" in answer.headers["cache-control"]
    assert served.get(sheet.replace(digest, "0" * 12)).status_code == 404
    assert served.get(f"/assets/{digest}/..%2f..%2fpyproject.toml").status_code == 404


def test_a_page_shows_a_new_version_once_it_is_served(tmp_path: Path) -> None:
    first = make.found()
    Index(tmp_path / "index").append(first)
    with serving(tmp_path / "index") as served:
        before = served.get("/models/org/tiny").text
        Index(tmp_path / "index").append(make.found(previous=first, scan_id="scan-2", delta=4.0))
        until(lambda: served.current.snapshot.head.seq == 2)
        after = served.get("/models/org/tiny").text

    assert ("version 1 of" in before, "version 2 of" in after) == (True, True)


def test_a_page_is_made_anew_each_day_for_it_says_how_old_things_are(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(directory) as served:
        monkeypatch.setattr(keeping, "today", lambda: date(2026, 11, 22))
        monkeypatch.setattr("swindex.api.pages.router.today", lambda: date(2026, 11, 22))
        fresh = served.get(f"/models/{shown.FOUND}").text
        monkeypatch.setattr(keeping, "today", lambda: date(2028, 11, 22))
        monkeypatch.setattr("swindex.api.pages.router.today", lambda: date(2028, 11, 22))
        old = served.get(f"/models/{shown.FOUND}").text

    assert ("OLD:" in fresh, "OLD:" in old) == (False, True)


# --- a model ---


@pytest.mark.parametrize("model", [shown.FOUND, shown.REPORTED, shown.DISPUTED])
def test_the_coordinates_are_there_ready_to_copy(served: Served, directory: Path, model: str) -> None:
    document = Client(directory).lookup(model).model_dump(mode="json")
    standing = [w for w in document["super_weights"] if w["location"] != "refuted"]
    said = [coordinate(w, document["model"]["architecture"]) for w in standing]
    found = page(served, f"/models/{model}")

    assert [row[0] for row in rows(section(found, "coordinates").all("table")[0])[1:]] == said
    assert found.one("pre", id="copy-expressions").exact == "\n".join(said)
    assert json.loads(found.one("pre", id="copy-json").exact) == [
        {n: w[n] for n in ("id", "layer", "expert", "row", "col", "tensor", "index", "value")} for w in standing
    ]


@pytest.mark.parametrize("model", shown.EVERY)
def test_the_python_to_copy_is_python_whatever_the_record_says(served: Served, model: str) -> None:
    for code in page(served, f"/models/{model}").all("pre", id="copy-python"):
        compile(code.exact, "<copied>", "exec")
        assert "alert" not in code.exact


def test_a_measured_verdict_says_so_and_is_marked_apart_from_a_reported_one(served: Served) -> None:
    ours, theirs = (
        section(page(served, f"/models/{model}"), "coordinates").all("table")[0]
        for model in (shown.FOUND, shown.REPORTED)
    )

    assert [row[1] for row in rows(ours)[1:]] == ["confirmed measured", "inert measured"]
    assert [row[1:3] for row in rows(theirs)[1:]] == [["untested", "confirmed reported"]] * 2
    assert {classes(ours, "measured"), classes(theirs, "reported")} == {"ours", "theirs"}


def classes(table: Element, basis: str) -> str:
    """How all badges of a table that say so are marked."""
    [found] = {b["class"].split()[-1] for b in table.all("span") if b.text.endswith(f" {basis}")}
    return found


def test_no_page_of_a_model_that_was_not_measured_says_measured_of_a_verdict(served: Served) -> None:
    for model in (shown.REPORTED, shown.DISPUTED, shown.HOSTILE):
        found = page(served, f"/models/{model}")
        assert [b for b in found.all("span", **{"class": "basis"}) if b.text == "measured"] == []


def test_effects_stand_with_the_worst_of_their_controls(served: Served) -> None:
    [table] = [t for t in page(served, f"/models/{shown.FOUND}").all("table") if "Effects" in t.one("caption").text]
    [first, *_] = [r for r in rows(table) if r[0] == "L1[2,3]"]

    before, after = (f"{math.exp(nll):.4g}" for nll in (2.0, 6.0))
    assert first == ["L1[2,3]", "confirmed measured", f"{before} → {after}", "×54.6", "×1.01", "swindex", "slice"]


def test_activations_stand_in_a_table_and_a_chart(served: Served) -> None:
    found = section(page(served, f"/models/{shown.FOUND}"), "activations")

    assert rows(found.one("table"))[1:] == [
        [str(n), "1.5", "2.5", "3.5", "super weights" if n == 1 else ""] for n in range(4)
    ]
    assert found.one("img")["src"] == f"/charts/{shown.FOUND}/profile.svg"


def test_a_model_without_a_scan_has_no_activations(served: Served) -> None:
    assert page(served, f"/models/{shown.REPORTED}").all("section", **{"aria-labelledby": "activations"}) == []


def test_a_disagreement_is_told_with_its_sides(served: Served) -> None:
    told = section(page(served, f"/models/{shown.DISPUTED}"), "claims")

    assert "claimed by yu-2024; denied by sun-2025" in told.text
    assert rows(told.all("table")[0])[1] == ["L1[2,3]", "yu-2024", "sun-2025", "no find of ours"]


def test_the_history_is_there_newest_first(served: Served) -> None:
    told = rows(section(page(served, f"/models/{shown.FOUND}"), "history").one("table"))[1:]

    assert [row[0] for row in told] == ["2", "1"]
    assert "scan scan-2 of 2026-11-21: found" in told[0][3]


def test_to_verify_there_is_a_command_and_the_bytes_to_read(served: Served) -> None:
    told = section(page(served, f"/models/{shown.FOUND}"), "verify")
    first = rows(told.one("table"))[1]

    assert told.one("pre").exact == f"swindex verify {shown.FOUND}"
    assert first == ["L1.R2.C3", "model.safetensors", "bytes=390-391", "8cbe", "-0.2734375 as bfloat16"]
    assert told.all("a")[0]["href"] == f"https://huggingface.co/{shown.FOUND}/resolve/{'a' * 40}/model.safetensors"


def test_a_fine_tune_says_what_survived_and_leads_to_its_base(served: Served) -> None:
    told = section(page(served, f"/models/{shown.CHILD}"), "relatives")

    assert "1 of 2 is bit-identical here, 1 of 2 drifted by +12.50%" in told.text
    assert f"/models/{shown.FOUND}" in [a["href"] for a in told.all("a")]


def test_a_base_leads_to_what_was_made_from_it_and_says_what_survived_there(served: Served) -> None:
    told = section(page(served, f"/models/{shown.FOUND}"), "relatives")

    assert f"/models/{shown.CHILD}" in [a["href"] for a in told.all("a")]
    assert "1 of 2 is bit-identical here" in told.text


def test_inherited_weights_are_called_those_of_the_base(served: Served) -> None:
    found = page(served, f"/models/{shown.CHILD}")

    assert found.one("h2", id="coordinates").text == f"Coordinates of {shown.FOUND}"
    assert any(w.text.startswith(f"INHERITED from {shown.FOUND}") for w in found.all("p", **{"class": "warning"}))


def test_the_page_of_a_commit_has_the_document_of_the_commit(served: Served) -> None:
    found = page(served, f"/models/{shown.FOUND}@{'a' * 7}")

    assert found.one("link", rel="alternate")["href"] == f"/v1/models/{shown.FOUND}@{'a' * 7}"
    assert served.get(found.one("link", rel="alternate")["href"]).json()["model"]["revision"] == "a" * 40


@pytest.mark.parametrize("model", shown.EVERY)
def test_the_alternate_is_the_document_of_the_page(served: Served, model: str) -> None:
    link = page(served, f"/models/{model}").one("link", rel="alternate")

    assert (link["type"], link["href"]) == ("application/json", f"/v1/models/{model}")
    assert served.get(link["href"]).json()["model"]["id"] == model


# --- what is not there ---


def test_an_unknown_model_is_said_to_be_unknown_and_not_to_be_without_super_weights(served: Served) -> None:
    found = page(served, "/models/org/bass", 404)

    assert "That does not mean that it has no super weight" in found.one("main").text
    assert found.one("pre").exact == "swindex scan org/bass"
    assert f"/models/{shown.FOUND}" in [a["href"] for a in found.one("main").all("a")]


def test_an_unknown_commit_of_a_known_model_is_told_apart(served: Served) -> None:
    assert "but not at ccccccc" in page(served, f"/models/{shown.FOUND}@{'c' * 7}", 404).one("main").text


def test_a_person_gets_a_page_and_a_program_problem_details(served: Served) -> None:
    assert page(served, "/nowhere", 404).one("h1").text == "Page not found"
    assert served.get("/nowhere").headers["content-type"] == "application/problem+json"
    assert served.get("/v1/models/org/x", accept=BROWSER).headers["content-type"] == "application/problem+json"
    assert "Accept" in served.get("/nowhere", accept=BROWSER).headers["vary"]


def test_what_fails_inside_is_a_page_that_tells_nothing(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("/secret/path")

    monkeypatch.setattr("swindex.api.pages.whole.changes", broken)
    found = served.get("/changes?before=3", accept=BROWSER)

    assert (found.status_code, parsed(found.text).one("h1").text) == (500, "Something went wrong here")
    assert "secret" not in found.text


def test_an_index_without_a_record_has_pages(tmp_path: Path) -> None:
    (tmp_path / "empty" / "records").mkdir(parents=True)
    with serving(tmp_path / "empty") as served:
        assert [served.get(at).status_code for at in ("/", "/models", "/index", "/changes")] == [200] * 4


# --- lists ---


def test_search_leads_to_the_model_of_that_id_in_any_case(served: Served) -> None:
    answer = served.get("/search?query=ORG%2Fbase")

    assert (answer.status_code, answer.headers["location"]) == (303, f"/models/{shown.FOUND}")


def test_search_for_a_part_leads_to_a_list_of_what_matches(served: Served) -> None:
    address = served.get("/search?query=hild").headers["location"]

    assert address == "/models?query=hild"
    assert [a["href"] for a in page(served, address).one("tbody").all("a")] == [f"/models/{shown.CHILD}"]


def test_search_for_an_unknown_id_leads_to_the_page_that_says_so(served: Served) -> None:
    assert served.get("/search?query=nobody/nothing").headers["location"] == "/models/nobody/nothing"


def test_search_never_leads_to_another_host(served: Served) -> None:
    for query in ("//evil.example", "https://evil.example", "/\\evil.example", "..//evil.example/x"):
        address = served.get(f"/search?query={query}").headers["location"]
        assert urlsplit(address)[:3] == ("", "", "/models")


def test_filters_are_a_form_that_remembers_what_was_asked(served: Served) -> None:
    found = page(served, "/models?query=base&family=llama&verdict=confirmed")
    form = found.one("form", action="/models")

    assert form["method"] == "get"
    assert form.one("input")["value"] == "base"
    assert [o.text for o in form.all("option", selected="")] == ["llama", "confirmed"]
    assert [a["href"] for a in found.one("tbody").all("a")] == [f"/models/{shown.FOUND}"]


def test_a_list_of_many_has_pages_that_together_have_every_model_once(tmp_path: Path) -> None:
    index = Index(tmp_path / "index")
    names = [f"org/m{n:03d}" for n in range(60)]
    for name in names:
        index.append(make.none_found(name))
    with serving(tmp_path / "index") as served:
        listed: list[str] = []
        at: str | None = "/models?query=org&family=&verdict="
        while at:
            found = page(served, at)
            listed += [a.text for a in found.one("tbody").all("a")]
            at = next((a["href"] for a in found.all("a", rel="next")), None)

    assert listed == names


def test_changes_have_pages_newest_first(tmp_path: Path) -> None:
    index = Index(tmp_path / "index")
    for n in range(60):
        index.append(make.none_found(f"org/m{n:03d}"))
    with serving(tmp_path / "index") as served:
        first = page(served, "/changes")
        older = page(served, first.one("a", rel="next")["href"])

    numbers = [int(row[0]) for found in (first, older) for row in rows(found.one("table"))[1:]]
    assert numbers == list(range(60, 0, -1))
    assert older.all("a", rel="next") == []


def test_a_list_says_whose_figures_a_verdict_rests_on(served: Served) -> None:
    told = {row[0]: row[1] for row in rows(page(served, "/models").one("table"))[1:]}

    assert told[shown.FOUND] == "confirmed measured"
    assert told[shown.REPORTED] == "confirmed reported"
    assert told[shown.NONE_FOUND] == "none"


def test_the_first_page_counts_what_was_measured_apart_from_what_was_reported(served: Served) -> None:
    figures = {d.one("dt").text: d.one("dd").text for d in page(served, "/").one("dl").all("div")}

    assert figures["models"] == str(len(shown.EVERY))
    assert figures["destructive, measured by swindex"] == "1 models"
    assert figures["destructive, reported by others only"] == "3 models"


# --- words and the API ---


def test_the_thresholds_are_those_of_the_rule(served: Served) -> None:
    told = {row[0]: row[1:] for row in rows(page(served, "/about").all("table")[0])[1:]}

    assert told["confirmed"] == ["at least 1 nat", "×2.72 or more", "at least 20 times its change"]
    assert told["partial"] == ["at least 0.05 nat", "×1.05 or more", "at least 5 times its change"]
    assert (rules.CONFIRMED_NLL, rules.CONFIRMED_CONTROL, rules.PARTIAL_NLL, rules.PARTIAL_CONTROL) == (1, 20, 0.05, 5)


def test_the_documentation_has_every_address_of_the_openapi_document(served: Served) -> None:
    paths = served.get("/openapi.json").json()["paths"]
    told = {h.text for h in page(served, "/api").all("h3")}

    assert told == {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}


def test_pages_are_not_in_the_openapi_document(served: Served) -> None:
    assert all(re.match(r"/(v1/|healthz|metrics)", path) for path in served.get("/openapi.json").json()["paths"])


def test_the_page_of_submissions_promises_nothing(served: Served) -> None:
    assert "takes no submissions yet" in page(served, "/submit").one("main").text
