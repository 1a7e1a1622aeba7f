"""Charts: what is in them is what the document says, whose figures they are can be seen, and they can be drawn."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swindex.api.charts import drawing, whole
from swindex.api.charts.both import both, plotted
from swindex.api.charts.effects import effects
from swindex.api.charts.profile import profile
from swindex.api.charts.rows import CONTROL, MEASURED, MOST, REPORTED, effect_rows
from swindex.api.charts.themes import DARK, LIGHT, Look, Theme
from swindex.api.main import main
from swindex.api.service.catalogue import row_of
from swindex.api.view import view
from swindex.index.store import Index
from swindex.schema.types import Outcome

from . import records as make
from . import shown
from .documents import Json, disputed, plain
from .parsed import parsed

FOUND = view(plain(make.found()))
REPORTED_ONLY = view(plain(make.reported()))
LOOKS = [Look(), Look(DARK), Look(narrow=True), Look(DARK, narrow=True)]


def spec(chart: Any, look: Look = Look()) -> Json:  # noqa: B008
    return drawing.spec_of(chart, look, "a title")


def rows_of(spec: Json) -> list[Json]:
    """All rows of all data sets of a spec, each once."""
    found = [row for rows in spec["datasets"].values() for row in rows]
    return [row for n, row in enumerate(found) if row not in found[:n]]


def find(part: Any, name: str) -> list[Any]:
    """Every value of this name, anywhere in a spec."""
    if isinstance(part, list):
        return [each for item in part for each in find(item, name)]
    if not isinstance(part, dict):
        return []
    return [v for k, v in part.items() if k == name] + [each for v in part.values() for each in find(v, name)]


# --- data ---


def test_the_profile_has_the_activations_of_every_layer() -> None:
    rows = rows_of(spec(profile(FOUND)))

    assert rows == [
        {"layer": each["layer"], "into": each["activation_in"], "out_of": each["activation_out"], "marked": n == 1}
        for n, each in enumerate(FOUND["scan"]["profile"])
    ]


def test_the_effects_have_every_figure_of_the_document_and_what_it_is_held_against() -> None:
    drawn = [(r["set"], r["kind"], r["by"], r["ratio"], r["text"]) for r in effect_rows(FOUND)]
    parts = [("L1[2,3]", FOUND["super_weights"][0]), ("L1[7,3]", FOUND["super_weights"][1])]
    parts.append(("L1[2,3] + L1[7,3]", FOUND["groups"][0]))
    expected = []
    for label, part in parts:
        for figure in part["figures"]:
            expected.append((label, MEASURED, "swindex", figure["ppl_ratio"], figure["text"]))
            expected.append((label, CONTROL, "swindex", figure["control"]["ppl_ratio"], figure["text"]))

    assert drawn == expected
    assert [row for row in rows_of(spec(effects(FOUND))) if "kind" in row] == effect_rows(FOUND)


def test_a_reported_figure_is_never_drawn_as_measured() -> None:
    for document in (REPORTED_ONLY, view(plain(disputed()))):
        assert {row["kind"] for row in effect_rows(document)} == {REPORTED}


def test_kinds_of_figures_have_shapes_lines_and_fillings_of_their_own() -> None:
    both_kinds = {**FOUND, "super_weights": FOUND["super_weights"] + REPORTED_ONLY["super_weights"]}
    both_kinds["groups"] = FOUND["groups"] + [{**REPORTED_ONLY["groups"][0], "members": ["L1.R2.C3", "L2.R4.C3"]}]
    made = spec(effects(both_kinds))
    [shapes] = {tuple(e["scale"]["range"]) for e in find(made, "shape") if "scale" in e}
    [fills] = {tuple(e["scale"]["range"]) for e in find(made, "fill") if isinstance(e, dict) and "scale" in e}

    assert (len(set(shapes)), fills[1]) == (3, LIGHT.paper)


def test_a_set_that_is_not_finite_is_told_in_words() -> None:
    document = view(plain(make.make({**make.found_parts(), "effects": (make.effect("e", "L1.R2.C3", delta=None),)})))
    svg = drawing.to_svg(spec(effects(document))).decode()

    assert [t.text for t in parsed(svg).all("text") if "finite" in t.text] == ["not finite →"]


def test_of_very_many_sets_those_with_the_largest_effects_are_drawn() -> None:
    weight = FOUND["super_weights"][0]
    many = [
        {**weight, "id": f"L1.R{n}.C3", "row": n, "figures": [{**weight["figures"][0], "ppl_ratio": 1.0 + n}]}
        for n in range(100)
    ]
    drawn = {row["set"] for row in effect_rows({**FOUND, "super_weights": many, "groups": []})}

    assert drawn == {f"L1[{n},3]" for n in range(100 - MOST, 100)}


def test_there_is_no_chart_of_nothing() -> None:
    nothing = view(plain(make.failed()))

    assert (profile(nothing), effects(nothing), both(nothing), plotted(nothing, "svg")) == (None,) * 4
    assert profile(REPORTED_ONLY) is None


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(1e-9, 1e300), min_size=1, max_size=4))
def test_every_ratio_lies_on_the_axis_and_ticks_are_few(ratios: list[float]) -> None:
    figure = FOUND["super_weights"][0]["figures"][0]
    weight = {**FOUND["super_weights"][0], "figures": [{**figure, "ppl_ratio": ratio} for ratio in ratios]}
    made = spec(effects({**FOUND, "super_weights": [weight], "groups": []}))
    [axis] = [e["axis"]["values"] for e in find(made, "x") if "values" in (e.get("axis") or {})][:1]
    [least, most] = next(e["scale"]["domain"] for e in find(made, "x") if "domain" in e.get("scale", {}))

    assert least < min(ratios)
    assert max(ratios) < most
    assert 1 <= len(axis) <= 9


# --- drawing ---


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("make_chart", [profile, effects])
def test_a_chart_is_drawn_with_its_marks_and_words(make_chart: Any, look: Look) -> None:
    svg = parsed(drawing.to_svg(spec(make_chart(FOUND, look), look)).decode())
    size = svg.one("svg")

    assert (float(size["width"]) > 200, float(size["height"]) > 50) == (True, True)
    assert float(size["width"]) <= (420 if look.narrow else 960)
    assert len(svg.all("path")) > 6
    assert len([t for t in svg.all("text") if t.text]) > 6
    assert svg.all("path", fill=look.theme.accent)


def test_as_png_a_chart_has_twice_its_size() -> None:
    made = spec(profile(FOUND))
    png, svg = drawing.to_png(made), parsed(drawing.to_svg(made).decode()).one("svg")

    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(png[16:20], "big") == pytest.approx(2 * float(svg["width"]), abs=2)


@pytest.mark.parametrize("chart", [profile(FOUND), effects(FOUND), both(FOUND), effects(REPORTED_ONLY)])
def test_a_spec_has_its_data_in_it_and_asks_for_nothing_else(chart: Any) -> None:
    made = json.loads(drawing.to_json(spec(chart)))

    assert made["$schema"].startswith("https://vega.github.io/schema/vega-lite/v6")
    assert find(made, "url") == []
    assert made["datasets"]


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_words_and_marks_stand_out_of_the_paper(theme: Theme) -> None:
    for colour in (theme.ink, theme.muted, theme.accent, theme.alarm):
        assert contrast(colour, theme.paper) >= 4.5


def contrast(one: str, other: str) -> float:
    """The contrast of two colours (WCAG 2.2, relative luminance)."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return math.fsum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


# --- the whole index ---


def records() -> list[Any]:
    found = [make.found("a/one"), make.reported("a/two"), make.none_found("b/three"), make.failed("b/four")]
    return [row_of(plain(record)) for record in found]


def test_the_index_is_counted_by_verdict_and_by_whose_it_is() -> None:
    counted = {(r["name"], r["basis"]): r["models"] for r in whole.counts(records())["verdicts"]}

    assert counted == {
        ("confirmed", "measured by swindex"): 1,
        ("confirmed", "reported by others"): 1,
        ("scanned, none found", "no figures"): 1,
        ("none, or all refuted", "no figures"): 1,
    }


def test_a_verdict_that_one_weight_has_by_us_and_another_by_others_is_measured() -> None:
    parts = make.found_parts()
    theirs = make.weight(3, 4, 3, scan=None)
    said = (make.observation((3, 4, 3), ppl=(10.0, 1000.0)),)
    both_ways = make.make({**parts, "super_weights": (*parts["super_weights"], theirs), "observations": said})

    assert (row_of(plain(both_ways)).verdict, row_of(plain(both_ways)).basis) == ("confirmed", "measured")


def test_layers_are_those_of_the_weights() -> None:
    counted = {(r["name"], r["basis"]): r["models"] for r in whole.counts(records())["layers"]}

    assert counted == {
        (1, "measured by swindex"): 1,
        (1, "reported by others"): 1,
        (2, "reported by others"): 1,
    }


def test_every_model_is_in_a_bar_of_every_kind_even_where_there_are_many_names() -> None:
    rows = [row_of(plain(make.failed(f"org{n}/m", outcome=Outcome.GATED))) for n in range(60)]
    counted = whole.counts(rows)

    assert [sum(r["models"] for r in counted[name]) for name in ("verdicts", "families", "owners")] == [60] * 3
    assert {r["name"] for r in counted["owners"]} >= {whole.REST}
    assert len({r["name"] for r in counted["owners"]}) == whole.MOST + 1


@pytest.mark.parametrize("name", list(whole.CHARTS))
def test_a_chart_of_the_index_has_the_counts_and_can_be_drawn(name: str) -> None:
    rows = whole.counts(records())[name]
    made = spec(whole.CHARTS[name](rows))

    assert [{k: r[k] for k in ("name", "basis", "models")} for r in rows_of(made)] == rows
    assert len(parsed(drawing.to_svg(made).decode()).all("path")) > 4


# --- swindex plot ---


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(shown.index(tmp_path_factory.mktemp("plot")))


@pytest.mark.parametrize(("name", "begins"), [("x.svg", b"<svg"), ("x.PNG", b"\x89PNG"), ("x.json", b"{")])
def test_plot_writes_the_charts_of_a_model(index: str, tmp_path: Path, name: str, begins: bytes) -> None:
    assert main(["plot", shown.FOUND, "--index", index, "--out", str(tmp_path / name)]) == 0
    assert (tmp_path / name).read_bytes().startswith(begins)


def test_plot_has_activations_and_effects(index: str, tmp_path: Path) -> None:
    main(["plot", shown.FOUND, "--index", index, "--out", str(tmp_path / "x.json")])
    rows = rows_of(json.loads((tmp_path / "x.json").read_text()))

    assert {"layer", "set"} <= {name for row in rows for name in row}


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ([shown.GATED, "--out", "x.svg"], 3, "nothing to draw"),
        ([shown.FOUND, "--out", "x.gif"], 2, "ends in .svg, .png or .json"),
        ([shown.FOUND, "--out", "no/such/x.svg"], 3, "not written: No such file or directory"),
        (["org/absent", "--out", "x.svg"], 1, "not in the index"),
    ],
)
def test_plot_says_in_one_line_why_not(
    index: str,
    arguments: list[str],
    status: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)

    assert main(["plot", *arguments, "--index", index]) == status
    told = capsys.readouterr().err
    assert (said in told, told.count("\n")) == (True, 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", ["altair", "vl_convert"])
def test_plot_without_the_extra_says_how_to_install_it(missing: str, tmp_path: Path) -> None:
    Index(tmp_path / "index").append(make.found())
    program = (
        f"import sys; sys.modules[{missing!r}] = None; from swindex.api.main import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, "plot", "org/tiny", "--index", str(tmp_path / "index"), "--out", "x.svg"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)

    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert f"{missing} is not installed; drawing needs more: pip install 'swindex[serve]'" in done.stderr
