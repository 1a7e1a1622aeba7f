"""A study: its figures are those of the loaded model, and its page says them all, by itself, to everybody."""

from __future__ import annotations

import base64
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import HfApi
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedModel

from swindex.api.main import main
from swindex.api.study.document import document_of
from swindex.api.study.files import NAMES
from swindex.api.study.html import LOOKS, html
from swindex.api.study.markdown import markdown, safe
from swindex.api.study.sections import sections
from swindex.api.study.shapes import Section
from swindex.crawler.checkpoint.hub import HubCheckpoint
from swindex.crawler.detection.run import Options
from swindex.crawler.study.options import PARTS, StudyOptions
from swindex.crawler.study.results import Study
from swindex.crawler.study.whole import make_study, measure
from swindex.index.store import Index
from swindex.schema.errors import UsageError
from swindex.schema.types import weight_id

from . import records as make
from .browsing import launched, needs_chromium
from .hub import Hub
from .plants import disk, generic, trained

Json = dict[str, Any]
WINDOW = 64
SMALL = StudyOptions(factors=(0.5, 2.0), blocks=(32, 0), clips=(3.0, 8.0), draws=1)


def options(windows: int = 1) -> Options:
    return Options(windows=windows, window=WINDOW, texts=(str(disk.TEXT),))


def plain(made: Study, known: Json | None = None) -> Json:
    return document_of(made.model_dump(mode="json"), known)


@pytest.fixture(scope="module")
def pair() -> Json:
    torch.set_num_threads(1)
    return plain(make_study(str(trained.PAIR), options=options(), wanted=SMALL))


@pytest.fixture(scope="module")
def none() -> Json:
    only = tuple(p for p in PARTS if p != "quantization")
    return plain(make_study(str(disk.CHECKPOINTS / "stories260k"), options=options(), wanted=StudyOptions(only=only)))


@pytest.fixture(scope="module")
def page(pair: Json) -> str:
    return html(pair)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[PreTrainedModel, PreTrainedModel]:
    """The model as anybody loads it, and with both scalars really zeroed in the file."""
    edits = [(trained.DOWN.format(1), (67, 172)), (trained.DOWN.format(1), (67, 173))]
    out = tmp_path_factory.mktemp("edited") / "zeroed"
    return disk.plain(trained.PAIR), disk.plain(disk.edited(trained.PAIR, out, edits))


def words(text: str) -> Tensor:
    """Token ids (1, T) with `<s>` in front."""
    ids = AutoTokenizer.from_pretrained(trained.PAIR)(text, add_special_tokens=False).input_ids
    return torch.tensor([[disk.BOS, *ids]])


# --- figures ---


def test_the_super_activation_is_what_hooks_on_the_loaded_models_see(
    pair: Json, models: tuple[PreTrainedModel, PreTrainedModel]
) -> None:
    [channel] = pair["trace"]["channels"]
    prompts = [p["token_ids"] for p in pair["record"]["scans"][-1]["settings"]["prompts"]]
    seen: list[list[float]] = []
    for model in models:
        outs: list[float] = []
        hooks = [
            layer.register_forward_hook(
                lambda _m, _a, out, outs=outs: outs.append(
                    float((out[0] if isinstance(out, tuple) else out)[..., 67].abs().max())
                )
            )
            for layer in model.model.layers
        ]
        disk.plain_logits(model, torch.tensor(prompts))
        for hook in hooks:
            hook.remove()
        seen.append(outs)

    assert channel["channel"] == 67
    assert [abs(v) for v in channel["unmodified"]] == pytest.approx(seen[0], rel=1e-5, abs=1e-5)
    assert [abs(v) for v in channel["removed"]] == pytest.approx(seen[1], rel=1e-4, abs=1e-4)


def test_next_tokens_behind_the_prompt_are_those_of_the_loaded_models(
    pair: Json, models: tuple[PreTrainedModel, PreTrainedModel]
) -> None:
    ids = words(pair["trace"]["prompt"])
    before, after = (disk.plain_logits(m, ids)[0, -1].double().softmax(-1) for m in models)
    shown = pair["trace"]["next"]

    assert {int(before.argmax()), int(after.argmax())} <= {t["id"] for t in shown}
    assert [t["before"] for t in shown] == pytest.approx([float(before[t["id"]]) for t in shown], rel=1e-4, abs=1e-9)
    assert [t["after"] for t in shown] == pytest.approx([float(after[t["id"]]) for t in shown], rel=1e-3, abs=1e-9)


def test_mean_probabilities_are_those_of_the_loaded_models(
    pair: Json, models: tuple[PreTrainedModel, PreTrainedModel]
) -> None:
    ids = disk.windows(1, WINDOW)
    before, after = (disk.plain_logits(m, ids)[0].double().softmax(-1).mean(0) for m in models)
    shown = pair["trace"]["mean"]

    assert [t["before"] for t in shown] == pytest.approx([float(before[t["id"]]) for t in shown], rel=1e-4)
    assert [t["after"] for t in shown] == pytest.approx([float(after[t["id"]]) for t in shown], rel=1e-3)


def test_z_is_tuned_on_another_text_than_figures_are_taken_on(pair: Json) -> None:
    measured = pair["quantization"]

    assert measured["measured_on"]["name"] == "tinystories-slice"
    assert measured["tuned_on"]["sha256"] != measured["measured_on"]["sha256"]
    for row in (r for r in measured["rows"] if r["held"] == "super weights" and r["clip"]):
        tried = [t for t in measured["tuning"] if (t["block"], t["held"]) == (row["block"], row["held"])]
        assert row["clip"] == min(tried, key=lambda t: t["nll"])["clip"]


def test_every_size_of_blocks_has_plain_clipped_held_and_controls(pair: Json) -> None:
    rows = [r for r in pair["quantization"]["rows"] if r["bits"] == 4]
    kinds = {(r["block"], r["held"], r["clip"] is not None) for r in rows}

    held = ("super weights", False), ("super weights", True), ("largest others", True), ("random others", True)
    assert kinds == {(b, *k) for b in (32, None) for k in (("none", False), ("none", True), *held)}


def test_the_unrounded_perplexity_is_that_of_the_loaded_model(
    pair: Json, models: tuple[PreTrainedModel, PreTrainedModel]
) -> None:
    ids = disk.windows(1, WINDOW)

    assert pair["quantization"]["nll"] == pytest.approx(
        disk.plain_nll(disk.plain_logits(models[0], ids), ids), rel=1e-5
    )


def test_without_super_weights_nothing_is_held_and_nothing_drawn_of_removal(none: Json) -> None:
    assert none["trace"] is None
    assert set(none["left_out"]) == {"activation", "tokens", "tasks"}
    assert "no super weight" in sections(none)[0].said[0]
    assert [s.anchor for s in sections(none) if s.figures] == ["figure-3"]


def test_several_groups_and_channels_are_all_drawn(tmp_path: Path) -> None:
    plant = trained.siblings(3, tmp_path / "siblings")
    made = plain(
        make_study(str(plant.folder), options=options(), wanted=StudyOptions(only=("activation", "coordinates")))
    )

    assert sorted(c["channel"] for c in made["trace"]["channels"]) == [65, 67, 68]
    assert [f.name for f in sections(made)[1].figures] == [f"channel-{c['channel']}" for c in made["trace"]["channels"]]


def test_a_remover_stands_in_the_table_and_is_not_held_out(tmp_path: Path) -> None:
    plant = trained.remover(tmp_path / "remover")
    wanted = StudyOptions(only=("coordinates", "quantization"), blocks=(0,), clips=(5.0,), draws=1)
    made = plain(make_study(str(plant.folder), options=options(), wanted=wanted))

    roles = {row[0]: row[3] for row in sections(made)[0].tables[0].rows}
    assert roles == {weight_id(1, 67, 172): "creator", weight_id(3, 67, 172): "remover"}
    assert made["quantization"]["held"] == [weight_id(1, 67, 172)]


def test_of_looped_layers_the_page_says_what_is_not_covered(tmp_path: Path) -> None:
    plant = generic.plant("hrm_text", tmp_path / "looped", "dense")
    wanted = StudyOptions(only=("spikes", "activation", "quantization"))
    made = plain(make_study(str(plant.folder), options=Options(windows=1, window=32), wanted=wanted))

    assert set(made["left_out"]) == {"activation", "quantization"}
    assert all("called more than once" in reason for reason in made["left_out"].values())


def test_zero_shot_tasks_are_those_of_lm_eval_with_and_without_the_finds(tmp_path: Path) -> None:
    pytest.importorskip("lm_eval", reason="lm-eval is not installed")
    pairs = [
        ("Once upon a time, there was a little girl named", " Lily.", " the."),
        ("She loved to play outside in the", " park.", " named."),
        ("Tom was very", " happy.", " upon."),
        ("They lived happily", " ever after.", " dog was."),
    ]
    rows = [json.dumps({"text": t, "choices": [a, b], "label": 0}) for t, a, b in pairs]
    (tmp_path / "tiny.jsonl").write_text("\n".join(rows) + "\n")
    told = {
        "task": "tiny_endings",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(tmp_path / "tiny.jsonl")}},
        "output_type": "multiple_choice",
        "test_split": "test",
        "doc_to_text": "{{text}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "{{label}}",
        "target_delimiter": "",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }
    (tmp_path / "tiny.yaml").write_text(json.dumps(told))
    wanted = StudyOptions(only=("tasks",), tasks=("tiny_endings",), task_folder=str(tmp_path))

    [result] = make_study(str(trained.ONE), options=options(), wanted=wanted).tasks

    zeroed = disk.edited(trained.ONE, tmp_path / "zeroed", [(trained.DOWN.format(1), (67, 172))])
    expected = [sum(_says(m, *p) for p in pairs) / len(pairs) for m in map(disk.plain, (trained.ONE, zeroed))]
    assert [result.before, result.after] == expected
    assert (result.task, result.metric, result.examples) == ("tiny_endings", "acc", 4)


def _says(model: PreTrainedModel, text: str, right: str, wrong: str) -> bool:
    """Whether a model gives the right ending the higher likelihood."""

    def likelihood(ending: str) -> float:
        start, whole = words(text), words(text + ending)
        log_p = disk.plain_logits(model, whole)[0].double().log_softmax(-1)
        return sum(float(log_p[at - 1, whole[0, at]]) for at in range(start.shape[1], whole.shape[1]))

    return likelihood(right) > likelihood(wrong)


def test_a_model_on_the_hub_gives_the_same_and_is_pinned(pair: Json) -> None:
    wanted = replace(SMALL, only=("quantization",), blocks=(0,))
    with Hub() as hub:
        hub.add_folder("demo/pair", trained.PAIR)
        checkpoint = HubCheckpoint("demo/pair", None, HfApi(endpoint=hub.url))
        made = plain(measure(checkpoint, options(), wanted, lambda *_: None))

    rows = [r for r in pair["quantization"]["rows"] if r["block"] is None]
    assert [r["ppl"] for r in made["quantization"]["rows"]] == [r["ppl"] for r in rows]
    assert re.search(r"commit [0-9a-f]{40}; computed", markdown(made))


# --- the page ---


class Parsed(HTMLParser):
    """What of a page matters here."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def svgs(page: str) -> list[str]:
    return [base64.b64decode(found).decode() for found in re.findall(r"data:image/svg\+xml;base64,([\w+/=]+)", page)]


def test_a_page_has_a_section_for_every_part_of_the_paper(page: str) -> None:
    titles = re.findall(r"<h2 id=\"[^\"]+\">(.+?)</h2>", page)

    places = [("figure 3", "figure 4", "figure 5", "figure 6"), ("table 1", "table 2", "section 4")]
    assert [p for group in places for p in group if not any(f"({p})" in t for t in titles)] == []


def test_a_page_loads_nothing_and_runs_nothing(page: str) -> None:
    found = Parsed(page)

    assert not {t for t, _ in found.tags} & {"script", "link", "iframe", "object", "embed", "form", "base"}
    given = [a.get(n) or "" for _, a in found.tags for n in ("src", "srcset", "href") if n in a]
    assert {g for g in given if not g.startswith(("#", "data:image/svg+xml;base64,"))} == set()
    assert not re.search(r"url\(|@import|https?://", re.sub(r"data:[^\"]+", "", page))
    assert [s for s in svgs(page) if re.search(r"<script|href=\"http|url\(http", s)] == []


def test_every_chart_is_drawn_with_marks_in_both_themes_and_widths(page: str, pair: Json) -> None:
    drawn = svgs(page)
    figures = [f for s in sections(pair) for f in s.figures]

    assert len(figures) == 7
    assert len(drawn) == len(figures) * len(LOOKS)
    assert [s[:60] for s in drawn if len(re.findall(r"<path [^>]*d=\"M", s)) < 4 or "NaN" in s] == []
    assert len(set(drawn)) == len(drawn)


def test_a_page_has_its_style_as_it_is_written(page: str) -> None:
    style = (disk.HERE.parent / "api" / "pages" / "static" / "style.css").read_text(encoding="utf-8")

    assert style in page


def test_charts_and_tables_are_named_for_those_who_do_not_see_them(page: str) -> None:
    found = Parsed(page)
    levels = [int(t[1]) for t, _ in found.tags if re.fullmatch(r"h\d", t)]

    assert all((a.get("alt") or "").strip() for a in found.named("img"))
    assert len(found.named("figcaption")) == len(found.named("figure")) == len(found.named("img"))
    assert len(found.named("caption")) == len(found.named("table")) > 5
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    assert found.named("html") == [{"lang": "en"}]


def test_markdown_has_the_same_numbers(page: str, pair: Json) -> None:
    text = markdown(pair)
    cells = [c for s in sections(pair) for t in s.tables for row in t.rows for c in row]

    assert len(cells) > 100
    assert [c for c in cells if safe(c) not in text] == []
    shown = page.replace("&#34;", '"').replace("&#39;", "'").replace("&lt;", "<").replace("&gt;", ">")
    assert [c for c in cells if c not in shown.replace("&amp;", "&")] == []


def test_every_section_says_what_it_rests_on(pair: Json) -> None:
    def told(section: Section) -> str:
        return " ".join((*section.notes, *(f.caption for f in section.figures), *(t.caption for t in section.tables)))

    for section in (s for s in sections(pair) if s.tables):
        assert {w for w in ("float32", "without a commit", "swindex 0.1.0") if w not in told(section)} == set()
    texts = [told(s) for s in sections(pair) if s.anchor in ("figure-5", "figure-6", "table-1", "section-4")]
    assert all("tinystories-slice (sha256" in t and "1 window of 64 tokens" in t for t in texts)


def test_what_a_model_says_of_itself_is_only_text(pair: Json) -> None:
    hostile = "<script>alert(1)</script>|`[x](http://evil)"
    tokens = [{**t, "text": hostile} for t in pair["trace"]["next"]]
    made = {**pair, "parts": ["tokens"], "trace": {**pair["trace"], "next": tokens, "prompt": hostile}}

    assert "<script" not in html(made)
    line = next(row for row in markdown(made).splitlines() if "alert" in row and row.startswith("| "))
    assert len(re.findall(r"(?<!\\)\|", line)) == 5
    assert "<script" not in re.sub(r"\\.", "", line)
    assert not re.search(r"(?<!\\)\]\(http", line)


def test_what_others_report_stands_beside_what_was_measured(tmp_path: Path, pair: Json) -> None:
    parts = {**make.reported_parts("org/pair"), "remarks": ()}
    weights = (make.weight(1, 67, 172, scan=None), make.weight(1, 67, 173, scan=None))
    claims = (make.observation((1, 67, 172), ppl=(10.0, 12.5), corpus="wiki"), make.observation((1, 67, 173)))
    made = Index(tmp_path / "index")
    made.append(make.make({**parts, "super_weights": weights, "groups": (), "observations": claims}))
    from swindex.api.client import Client

    known = Client(str(tmp_path / "index")).lookup("org/pair").model_dump(mode="json")
    document = {**pair, "reported": document_of(pair, known)["reported"]}

    [_, reported] = sections(document)[0].tables
    assert [row[0] for row in reported.rows] == [weight_id(1, 67, 172), weight_id(1, 67, 173)]
    assert reported.rows[0][-1] == "×1.25 (yu-2024, wiki)"
    assert "reported" in reported.caption.lower()


@needs_chromium
def test_the_page_in_a_browser_asks_nobody_and_has_no_serious_finding_of_axe(page: str, tmp_path: Path) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    file = tmp_path / "study.html"
    file.write_text(page, encoding="utf-8")
    asked, said, found = [], [], []
    with launched() as browser:
        for scheme in ("light", "dark"):
            one = browser.new_context(color_scheme=scheme, viewport={"width": 390, "height": 800}, bypass_csp=True)
            tab = one.new_page()
            tab.on("request", lambda each: asked.append(each.url))
            tab.on("console", lambda each: said.append(each.text))
            tab.goto(file.as_uri())
            images = "[...document.images].map(i => i.complete && i.naturalWidth > 100)"
            wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
            shown, overflows = tab.evaluate(images), tab.evaluate(wide)
            found += axe.Axe().run(tab).response["violations"]
            one.close()

    assert all(shown)
    assert not overflows
    assert {u for u in asked if not u.startswith(("file:", "data:"))} == set()
    assert said == []
    assert [v["id"] for v in found if v["impact"] in ("serious", "critical")] == []


# --- the command ---


def run_command(*arguments: str) -> int:
    return main(["study", *arguments])


def test_the_command_writes_page_markdown_and_json_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "made"
    asked = ["--only", "spikes", "--only", "tasks", "--json"]

    status = run_command(str(trained.ONE), "--out", str(out), *asked)

    printed = json.loads(capsys.readouterr().out)
    assert status == 0
    assert sorted(p.name for p in out.iterdir()) == sorted(NAMES)
    assert json.loads((out / "study.json").read_text()) == printed
    assert printed["parts"] == ["spikes", "tasks"]
    assert list(printed["left_out"]) == ["tasks"]
    assert "lm-eval" in (out / "study.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["/nowhere", "--out", "OUT"], "neither a folder nor a model id"),
        ([str(trained.ONE), "--out", "OUT", "--only", "figures"], "no part of a study"),
        ([str(trained.ONE), "--out", "FILE"], "is not a folder"),
        ([str(trained.ONE), "--out", "OUT", "--bits", "1"], "1 bits are no grid"),
        ([str(trained.ONE), "--out", "OUT", "--model", "org/absent"], "is not in the index"),
        ([str(disk.CHECKPOINTS / "relullama-260k"), "--out", "OUT"], "transformers has no"),
    ],
)
def test_what_cannot_be_studied_is_said_in_one_line_and_leaves_no_file(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "FILE").write_text("mine")
    status = run_command(*[str(tmp_path / a) if a in ("OUT", "FILE") else a for a in arguments])

    errors = capsys.readouterr().err
    assert status in (1, 2, 3)
    assert (errors.count("\n"), said in errors) == (1, True)
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["FILE"]


def test_a_study_that_cannot_be_written_leaves_the_last_one_as_it_was(none: Json, tmp_path: Path) -> None:
    from swindex.api.study.files import save

    save(none, tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    with pytest.raises(ValueError, match="not JSON compliant"):
        save({**none, "extra": math.nan}, tmp_path)

    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize("wrong", [{"only": ()}, {"only": ("x",)}, {"blocks": (-1,)}, {"clips": ()}])
def test_options_that_say_nothing_are_refused(wrong: Json) -> None:
    with pytest.raises(UsageError):
        StudyOptions(**wrong)
