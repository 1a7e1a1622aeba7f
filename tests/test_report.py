"""What a person reads: coordinates to paste, tables that fit, and every warning in words."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from swindex.api.answer import answer
from swindex.api.commands.progress import progress
from swindex.api.names import Asked, parse_asked
from swindex.api.page import Cell, Column, Page, clean, number, width_of
from swindex.api.paste import coordinate, remarks, short
from swindex.api.reading import Local
from swindex.api.report import report, warnings
from swindex.api.view import view
from swindex.index.store import Index
from swindex.schema import types
from swindex.schema.observation import Stance
from swindex.schema.record import Withdrawn
from swindex.schema.types import Outcome

from . import records as make
from .documents import Json, disputed, plain

TODAY = date(2026, 11, 23)


@pytest.fixture
def index(tmp_path: Path) -> Index:
    return Index(tmp_path)


@pytest.fixture
def ask(index: Index) -> Callable[..., Json]:
    def asked(text: str, base: str | None = None) -> Json:
        return answer(parse_asked(text), Local(index.records), base)

    return asked


# --- coordinates to paste ---


def place(tensor: str, index: tuple[int, ...] = (7, 9), **more: Any) -> Json:
    return {"tensor": tensor, "index": list(index), "row": 7, "col": 9, "layer": 1, "expert": None, **more}


@pytest.mark.parametrize(
    ("weight", "expected"),
    [
        (place("model.layers.1.mlp.down_proj.weight"), "model.model.layers[1].mlp.down_proj.weight[7, 9]"),
        (place("h.1.mlp.c_proj.weight", (9, 7)), "model.transformer.h[1].mlp.c_proj.weight[9, 7]"),
        (place("transformer.h.1.mlp.c_proj.weight"), "model.transformer.h[1].mlp.c_proj.weight[7, 9]"),
        (
            place("gpt_neox.layers.1.mlp.dense_4h_to_h.weight"),
            "model.gpt_neox.layers[1].mlp.dense_4h_to_h.weight[7, 9]",
        ),
        (
            place("language_model.model.layers.1.mlp.down_proj.weight"),
            "model.model.language_model.layers[1].mlp.down_proj.weight[7, 9]",
        ),
        (
            place("model.layers.1.mlp.experts.68.down_proj.weight", expert=68),
            "model.model.layers[1].mlp.experts.down_proj[68, 7, 9]",
        ),
        (
            place("model.layers.1.block_sparse_moe.experts.3.w2.weight", expert=3),
            "model.model.layers[1].mlp.experts.down_proj[3, 7, 9]",
        ),
        (place("a tensor; rm -rf", (7, 9)), "a tensor; rm -rf[7, 9]"),
    ],
)
def test_coordinates_are_ready_to_paste(weight: Json, expected: str) -> None:
    assert coordinate(weight) == expected


def test_llama4_keeps_its_names() -> None:
    weight = place("language_model.model.layers.1.feed_forward.experts.down_proj", (2, 9, 7))

    assert coordinate(weight, "Llama4ForConditionalGeneration") == (
        "model.language_model.model.layers[1].feed_forward.experts.down_proj[2, 9, 7]"
    )


@pytest.mark.parametrize(
    ("weight", "count"),
    [
        (place("model.layers.1.mlp.down_proj.weight"), 0),
        (place("h.1.mlp.c_proj.weight", (9, 7)), 1),
        (place("model.layers.1.mlp.experts.68.down_proj.weight", expert=68), 1),
        (place("x.experts.down_proj", (2, 7, 9)), 1),
    ],
)
def test_what_must_be_known_before_pasting(weight: Json, count: int) -> None:
    assert len(remarks([weight, weight])) == count


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"layer": 1, "row": 7, "col": 9}, "L1[7,9]"),
        ({"layer": 1, "expert": 5, "row": 7, "col": 9}, "L1.E5[7,9]"),
        ({"layer": 1, "row": 7, "col": None}, "L1[7,:]"),
        ({"layer": 1, "expert": 5, "row": None, "col": None}, "L1.E5"),
    ],
)
def test_short_places(where: Json, expected: str) -> None:
    assert short(where) == expected


# --- the page ---


def test_page_of_a_reported_model() -> None:
    assert report(view(plain(disputed())), 100, today=TODAY) == (
        "org/disputed\n"
        "no commit\n"
        "LlamaForCausalLM, bfloat16, 0.123 M parameters, 4 layers\n"
        "\n"
        "Reported by outside sources; not scanned by swindex.\n"
        "! Not pinned to a commit: no source says which; compare the values before you use them.\n"
        "! Values are the sources' own: swindex has not read the checkpoint.\n"
        "\n"
        "Super weights, ready to paste\n"
        "COORDINATE                                        ALONE      TOGETHER  LOCATION\n"
        "model.model.layers[1].mlp.down_proj.weight[2, 3]  confirmed  untested  disputed\n"
        "model.model.layers[2].mlp.down_proj.weight[2, 4]  untested   untested  reported\n"
        "Claimed by yu-2024: L1[2,3].\n"
        "\n"
        "What removing them does (perplexity before -> after)\n"
        "REMOVED  VERDICT    PERPLEXITY  RATIO  BY           TEXT\n"
        "L1[2,3]  confirmed   10 -> 100    x10  yu-2024 [1]  wiki\n"
        "Verdicts rest on the sources' own figures, the weakest where they differ. swindex measured nothing\n"
        "here.\n"
        "\n"
        "Where sources disagree\n"
        "- L1[2,3]: sources differ on whether it is there: claimed by yu-2024; denied by sun-2025.\n"
        "\n"
        "What sources also say\n"
        "- sun-2025 denies (L1[2,3]): Not there.\n"
        "\n"
        "Caveats\n"
        "[1] one window\n"
        "\n"
        "Sources\n"
        "- sun-2025: About sun-2025, https://example.org/sun-2025\n"
        "- yu-2024: About yu-2024, https://example.org/yu-2024\n"
        "\n"
        "Record version 1 of 2026-11-21 (2 days ago).\n"
    )


def test_page_of_a_scan_that_could_not_be_made() -> None:
    assert report(view(plain(make.failed())), 100, today=date(2026, 11, 22)) == (
        "org/tiny\n"
        f"commit {'a' * 40}\n"
        "\n"
        "Not scanned: the repository is gated.\n"
        "  Reason: gated: cannot be read; try again later\n"
        "  swindex 0.1.0, 2026-11-21\n"
        "No super weight is on record; that does not mean that there is none.\n"
        "\n"
        "Record version 1 of 2026-11-21 (yesterday).\n"
    )


def lines(document: Json, width: int = 100) -> list[str]:
    return report(document, width, today=TODAY).splitlines()


def test_refuted_claims_stand_apart() -> None:
    parts: Json = {
        "model": make.model(files=()),
        "super_weights": (make.weight(scan=None),),
        "observations": (
            make.observation((1, 2, 3)),
            make.observation((1, 2, 3), origin="sun-2025", stance=Stance.DENIES, ppl=(10.0, 10.01)),
        ),
    }
    page = lines(view(plain(make.make(parts))))

    assert "Refuted claims: these are NOT super weights" in page
    assert "Super weights, ready to paste" not in page


def test_a_group_of_three_is_named_and_its_members_listed() -> None:
    places = [(1, 2, 3), (1, 4, 3), (1, 5, 3)]
    ids = [types.weight_id(*p) for p in places]
    parts: Json = {
        "model": make.model(files=()),
        "super_weights": tuple(make.weight(*p, scan=None, group="trio") for p in places),
        "groups": (make.group("trio", *ids, reported=True),),
        "observations": (make.observation(*places, ppl=(10.0, 1e6)),),
    }
    page = lines(view(plain(make.make(parts))))

    assert "trio (3)  confirmed  10 -> 1,000,000  x100,000  yu-2024" in page
    assert "trio: L1[2,3], L1[4,3], L1[5,3]." in page


def test_a_narrow_page_lists_the_members_of_a_pair_below() -> None:
    page = lines(view(plain(make.reported())), 80)

    assert "reported-1 (2)  confirmed  10 -> 1000   x100  sun-2025" in page
    assert "reported-1: L1[2,3], L2[4,3]." in page


def test_a_wide_page_spells_out_a_pair() -> None:
    page = lines(view(plain(make.reported())), 100)

    assert "L1[2,3] + L2[4,3]  confirmed  10 -> 1000   x100  sun-2025" in page
    assert "reported-1: L1[2,3], L2[4,3]." not in page


def test_an_incomplete_set_is_said_in_words() -> None:
    larger = [(1, 2, 3), (1, 4, 3)]
    parts: Json = {
        "model": make.model(files=()),
        "super_weights": tuple(make.weight(*p, scan=None) for p in larger),
        "groups": (
            make.group("small", "L1.R2.C3", reported=True),
            make.group("large", "L1.R2.C3", "L1.R4.C3", reported=True),
        ),
        "observations": (
            make.observation((1, 2, 3), ppl=(10.0, 20.0)),
            make.observation(*larger, ppl=(10.0, 2000.0)),
        ),
    }
    page = " ".join(lines(view(plain(make.make(parts)))))

    assert "Incomplete set: small leaves out weights that make its removal clearly worse: L1[4,3]." in page


def test_measured_verdicts_say_so() -> None:
    page = lines(view(plain(make.found())))

    assert "Verdicts rest on figures that swindex measured against a control, the weakest over the texts." in page


def test_verdicts_of_both_kinds_say_so() -> None:
    parts = make.found_parts()
    outside = (make.observation((3, 1, 1), origin="sun-2025", ppl=(10.0, 1000.0)),)
    weights = (*parts["super_weights"], make.weight(3, 1, 1, scan=None))
    page = " ".join(lines(view(plain(make.make({**parts, "super_weights": weights, "observations": outside})))))

    assert "Verdicts rest on swindex's own figures where there are any, else on those of the source named." in page


def test_a_figure_that_was_not_finite_is_said_in_words() -> None:
    parts: Json = {
        "model": make.model(),
        "super_weights": (make.weight(),),
        "effects": (make.effect("e", "L1.R2.C3", delta=None),),
        "scans": (make.scan(),),
    }

    assert "L1[2,3]  not finite  7.389 -> not finite  swindex  slice" in lines(view(plain(make.make(parts))))


def test_an_inherited_answer_warns_first(index: Index, ask: Callable[..., Json]) -> None:
    index.append(make.found("org/found"))
    document = ask("org/child", "org/found")

    assert warnings(document) == [
        "INHERITED from org/found at commit aaaaaaaaaaaa: the weights below are of the base model, not checked here."
    ]
    assert "org/found: version 1 of 2026-11-21 (2 days ago)." in lines(document)


def test_an_inherited_answer_of_a_base_without_a_commit(index: Index, ask: Callable[..., Json]) -> None:
    index.append(make.reported("org/found"))

    assert warnings(ask("org/child", "org/found"))[:2] == [
        "INHERITED from org/found: the weights below are of the base model, not checked here.",
        "Not pinned to a commit: no source says which; compare the values before you use them.",
    ]


def test_a_scanned_folder_has_bits_though_no_commit() -> None:
    parts = make.found_parts(revision=None)

    assert warnings(view(plain(make.make(parts)))) == [
        "Not pinned to a commit: a folder was scanned; verify tells whether another copy has the same bits."
    ]


def test_a_withdrawn_record_says_why() -> None:
    withdrawn = Withdrawn(time="2026-11-22T00:00:00Z", reason="wrong file")
    record = make.make(make.found_parts(), withdrawn=withdrawn)

    assert warnings(view(plain(record)))[0] == "WITHDRAWN on 2026-11-22: wrong file"


def test_a_part_of_the_layers_is_said() -> None:
    record = make.make({"model": make.model(), "scans": (make.scan(outcome=Outcome.NONE_FOUND, layers_covered=(0,)),)})
    document = view(plain(record))

    assert warnings(document) == ["Only a part of the layers was covered."]
    assert "  swindex 0.1.0, 2026-11-21, 1 of 4 layers covered" in lines(document)


def test_experts_that_were_covered_are_said() -> None:
    scan = make.scan(outcome=Outcome.NONE_FOUND, experts=8, experts_covered=6)
    page = lines(view(plain(make.make({"model": make.model(), "scans": (scan,)}))))

    assert "  swindex 0.1.0, 2026-11-21, 4 of 4 layers covered, 6 of 8 experts" in page


def test_a_long_list_is_cut_and_says_so() -> None:
    said = tuple(make.observation(stance=Stance.NOTES, statement=f"Statement {n}.") for n in range(20))
    page = lines(view(plain(make.make({"model": make.model(files=()), "observations": said}))))

    assert sum("Statement" in line for line in page) == 12
    assert "... and 8 more: --json" in page


def test_statements_carry_their_figures() -> None:
    said = (
        make.observation(stance=Stance.NOTES, statement=None, ppl=(10.0, 20.0)),
        make.observation(stance=Stance.NOTES, statement="Ratio.", ppl_ratio=3.0),
        make.observation(stance=Stance.NOTES, statement="Gone.", finite=False),
        make.observation(
            (1, 1, 1), (1, 2, 2), (1, 3, 3), (1, 4, 4), origin="sun-2025", stance=Stance.NOTES, statement="Four."
        ),
    )
    page = lines(view(plain(make.make({"model": make.model(files=()), "observations": said}))))

    assert [line for line in page if " notes (" in line] == [
        "- yu-2024 notes (the model): perplexity 10 -> 20",
        "- yu-2024 notes (the model): Ratio.: perplexity x3",
        "- yu-2024 notes (the model): Gone.: perplexity not finite",
        "- sun-2025 notes (4 places): Four.",
    ]


def test_a_note_on_one_weight_names_it() -> None:
    assert "- L1[2,3]: The paper gives the layer only in its appendix." in lines(view(plain(make.reported())))


def test_a_narrow_page_keeps_the_verdicts_and_lists_the_values_below() -> None:
    page = lines(view(plain(make.found())), 75)

    table = page[page.index("Super weights, ready to paste") + 1 :]

    assert table[:2] == [
        "COORDINATE                                        ALONE      TOGETHER",
        "model.model.layers[1].mlp.down_proj.weight[2, 3]  confirmed  confirmed",
    ]
    assert table[3] == "Values: L1[2,3] = -0.2734375, L1[7,3] = 1."


def test_strangers_text_cannot_steer_the_terminal() -> None:
    assert clean("a\x1b[31m\tb\u202ec\nd") == "a?[31m b?c d"


def test_a_page_with_colours_has_the_text_of_the_one_without() -> None:
    document = view(plain(disputed()))
    painted = report(document, 100, colour=True, today=TODAY)

    assert painted != report(document, 100, today=TODAY)
    assert re.sub(r"\x1b\[[0-9;]*m", "", painted) == report(document, 100, today=TODAY)


def test_a_table_drops_columns_by_their_number() -> None:
    page = Page(40)
    shown = page.table(
        (Column("A"), Column("B", drop=1), Column("C", drop=2)), [[Cell("a" * 20), Cell("b" * 15), Cell("c" * 15)]]
    )

    assert shown == ["A", "B"]
    assert page.lines == ["A" + " " * 21 + "B", "a" * 20 + "  " + "b" * 15]


def test_a_table_cuts_the_column_that_may_be_cut() -> None:
    page = Page(40)
    page.table((Column("A"), Column("B", drop=1)), [[Cell("a" * 20), Cell("b" * 50)]], fill=1)

    assert page.lines[1] == "a" * 20 + "  " + "b" * 15 + "..."


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        (None, 4, ""),
        (0.0, 4, "0"),
        (-0.2734375, 7, "-0.2734375"),
        (15.06807, 7, "15.06807"),
        (5289.5185, 4, "5290"),
        (50021.4, 4, "50,021"),
        (0.00001, 4, "1e-05"),
        (1.5e9, 4, "1.5e+09"),
        (123456.7, 7, "123456.7"),
    ],
)
def test_numbers_are_short_and_readable(value: float | None, digits: int, expected: str) -> None:
    assert number(value, digits) == expected


def test_asked_is_split_at_the_revision() -> None:
    assert parse_asked("org/m@ABCDEF1") == Asked("org/m", "abcdef1")


# --- the terminal ---


@pytest.mark.parametrize(("columns", "expected"), [("70", 70), ("", 100), ("0", 100), ("wide", 100)])
def test_width_where_there_is_no_terminal(columns: str, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)

    assert width_of(io.StringIO()) == expected


def in_terminal(code: str, columns: int, **environment: str) -> str:
    """What a process prints on a terminal of so many columns, for its standard output and error."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=theirs, stderr=theirs, env={"TERM": "xterm", **environment}
    )
    os.close(theirs)
    said = b""
    with contextlib.suppress(OSError):  # Linux says EIO where the other end is closed
        while part := os.read(ours, 65536):
            said += part
    os.close(ours)
    assert child.wait(timeout=60) == 0
    return said.decode().replace("\r\n", "\n")


LOOKUP = "import sys; from swindex.api.main import main; sys.exit(main(['lookup', 'org/found']))"


def test_a_terminal_gets_colours_and_its_own_width(index: Index) -> None:
    index.append(make.found("org/found"))
    said = in_terminal(LOOKUP, 75, SWINDEX_INDEX=str(index.directory))

    assert "\x1b[1morg/found\x1b[0m\n" in said
    assert "\nValues: L1[2,3] = -0.2734375, L1[7,3] = 1.\n" in said


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_without_colours(index: Index, environment: dict[str, str]) -> None:
    index.append(make.found("org/found"))

    assert "\x1b" not in in_terminal(LOOKUP, 100, SWINDEX_INDEX=str(index.directory), **environment)


def test_progress_is_shown_on_a_terminal() -> None:
    code = (
        "from swindex.api.commands.progress import progress\n"
        "with progress() as step:\n"
        "    step('layers', 1, 4); step('layers', 4, 4)\n"
    )

    assert "layers" in in_terminal(code, 80)


def test_progress_is_silent_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as step:
        assert step is None

    assert capsys.readouterr() == ("", "")
