"""Watching the texts on which effects are measured, and measuring where `<s>` is absent.

That spikes at such tokens are found and confirmed is in `test_confusion`; here is what the record says of them, and
what watching leaves as it is.
"""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers.models.llama.modeling_llama import LlamaMLP

from swindex.crawler.checkpoint.local import LocalCheckpoint
from swindex.crawler.detection import constants as c
from swindex.crawler.detection.lockstep import logits
from swindex.crawler.detection.massive import massive
from swindex.crawler.detection.resident import Weights
from swindex.crawler.detection.run import run
from swindex.crawler.scanning import scan
from swindex.schema.effect import Effect
from swindex.schema.types import Intervention, Outcome, Verdict
from swindex.schema.verdicts import Verdicts

from .plants import disk, makers, trained
from .plants.confusion import Seen, seen
from .plants.shared import one_thread, options, scanned

__all__ = ["one_thread"]
COMMA, STARTLESS = "on a comma", "only without <s>"
PLACE = "L1.R67.C172"


def removals(one: Seen, *, bos: bool | None = None) -> list[Effect]:
    """The effects of zeroing, under one condition or both."""
    zeroed = [e for e in one.record.effects if e.intervention is Intervention.ZERO]
    return [e for e in zeroed if bos is None or e.corpus.bos is bos]


# --- what the record says ---


def test_a_find_in_a_text_names_the_token_its_class_and_the_text() -> None:
    record = seen(COMMA).record
    [weight] = record.super_weights
    ids = disk.windows(2, 201)

    assert (weight.id, weight.round, weight.token.corpus) == (PLACE, 0, disk.TEXT.stem)
    assert (weight.token.id, weight.token.text, weight.token.kind) == (makers.COMMA, ",", "delimiter")
    assert makers.COMMA in ids[:, weight.token.position]


def test_so_does_its_event() -> None:
    events = [e for e in seen(COMMA).record.scans[0].events if PLACE in e.weights]

    assert {(e.layer, e.channel, e.stream, e.token.id, e.token.corpus) for e in events} == {
        (1, 67, 0, makers.COMMA, disk.TEXT.stem)
    }


@pytest.mark.parametrize("name", ["one", "pair", "masked", "on a full stop", "amplified"])
def test_what_the_prompts_show_is_not_told_again_from_a_text(name: str) -> None:
    record = seen(name).record
    events = record.scans[0].events

    assert {w.token.corpus for w in record.super_weights} == {None}
    assert max(Counter((e.layer, e.channel, e.stream, e.role) for e in events).values()) == 1


def test_a_find_in_a_later_window_is_placed_in_that_window(tmp_path: Path) -> None:
    ids = disk.windows(8, 21)
    first, *others = [set(w.tolist()) for w in ids]
    watched = set(seen("one").record.scans[0].settings.prompts[0].token_ids)
    token = next(t for w in others for t in sorted(w) if t not in first | watched)
    plant = makers.on_token(token, tmp_path / "later")
    findings = run(LocalCheckpoint(plant.folder), options(8, 21))
    [find] = findings.peeler.finds.values()

    assert find.text == 0
    assert int(ids.flatten()[find.token]) == token


# --- what watching leaves as it is ---


def test_without_effects_no_text_is_watched() -> None:
    record = scan(str(seen(COMMA).plant.folder), options=replace(options(2, 201), effects=False))

    assert (record.super_weights, record.scans[0].outcome) == ((), Outcome.NONE_FOUND)


def test_each_window_goes_once_through_each_layer_where_nothing_is_found() -> None:
    calls: Counter[int] = Counter()

    def count(module: torch.nn.Module, given: tuple[torch.Tensor, ...], _out: object) -> None:
        if isinstance(module, LlamaMLP):
            calls[given[0].shape[1]] += 1

    handle = torch.nn.modules.module.register_module_forward_hook(count)
    try:
        findings = run(LocalCheckpoint(disk.CHECKPOINTS / "stories260k"), options(3, 201))
    finally:
        handle.remove()

    assert calls[201] == 3 * len(findings.skeleton.layers)


def test_the_unmodified_stream_is_what_the_plain_model_gives(tmp_path_factory: pytest.TempPathFactory) -> None:
    made = scanned("comma", lambda folder: makers.on_token(makers.COMMA, folder), tmp_path_factory)
    ours = made.stream_logits(made.findings.ablator.baseline)

    plain = torch.cat([disk.plain_logits(disk.plain(made.plant.folder), one[None]) for one in made.ids])

    assert torch.equal(ours, plain)


def test_later_rounds_run_without_what_a_text_showed(tmp_path: Path) -> None:
    plant = makers.on_token(makers.COMMA, tmp_path / "comma")
    state = disk.read(plant.folder)
    state[makers.EMBEDDING][makers.STOP, trained.B] = 0.03  # full stops, which the prompts hold, get a little of it
    disk.write(plant.folder, disk.config_of(plant.folder), state)
    checkpoint = LocalCheckpoint(plant.folder)
    findings = run(checkpoint, options(2, 201))
    [scalar] = plant.scalars
    zeroed = disk.edited(plant.folder, tmp_path / "zeroed", [(scalar.tensor, scalar.index)])
    batch, keep = findings.peeler.batch, torch.arange(findings.peeler.batch.ids.shape[1])
    with Weights(findings.skeleton, checkpoint).outside():
        model, layers = findings.skeleton.model, findings.skeleton.layers
        made = [logits(model, layers, batch, s.residual, keep) for s in findings.peeler.streams[:2]]
    plain = [disk.plain_logits(disk.plain(f), batch.ids) for f in (plant.folder, zeroed)]

    assert {p.id: f.text for p, f in findings.peeler.finds.items() if f.round == 0} == {PLACE: 0}
    assert not torch.equal(*plain)
    assert all(torch.equal(a, b) for a, b in zip(made, plain, strict=True))


def test_a_text_asks_for_a_larger_part_of_the_energy_than_a_prompt() -> None:
    residual = torch.tensor([[3.0, *[1.0] * 4]])  # 9 over 4: between KAPPA and TEXT_KAPPA

    assert bool(massive(residual)[0, 0])
    assert not bool(massive(residual, c.TEXT_KAPPA).any())


# --- where <s> is absent ---


def test_both_conditions_stand_in_the_record() -> None:
    effects = [e for e in removals(seen(STARTLESS)) if e.weights == (PLACE,)]

    assert {(e.corpus.bos, e.verdict) for e in effects} == {(True, Verdict.INERT), (False, Verdict.CONFIRMED)}


def test_the_window_without_it_is_the_beginning_of_the_text(tmp_path: Path) -> None:
    one = seen(STARTLESS)
    [effect] = [e for e in removals(one, bos=False) if e.weights == (PLACE,)]
    ids = disk.windows(1, c.STARTLESS + 1)[:, 1:]
    [scalar] = one.plant.scalars
    zeroed = disk.edited(one.plant.folder, tmp_path / "zeroed", [(scalar.tensor, scalar.index)])
    before, after = (disk.plain_nll(disk.plain_logits(disk.plain(f), ids), ids) for f in (one.plant.folder, zeroed))

    assert (effect.corpus.windows, effect.corpus.window, effect.corpus.tokens) == (1, c.STARTLESS, c.STARTLESS - 1)
    assert (effect.nll_before, effect.nll_after) == pytest.approx((before, after), abs=1e-5)


@pytest.mark.parametrize("name", ["one", "on a full stop", COMMA, "no <s> at all"])
def test_what_acts_behind_it_is_not_measured_without(name: str) -> None:
    effects = [e for e in seen(name).record.effects if PLACE in e.weights]

    assert {e.corpus.bos for e in effects} == {name != "no <s> at all"}


def test_the_condition_in_which_a_set_does_more_decides() -> None:
    effects = seen(STARTLESS).record.effects
    behind = [e for e in effects if e.corpus.bos]

    assert Verdicts(effects, ()).of([PLACE])[0] is Verdict.CONFIRMED
    assert Verdicts(behind, ()).of([PLACE])[0] is Verdict.INERT


def test_its_perplexities_are_those_of_that_condition() -> None:
    effects = seen(STARTLESS).record.effects
    [deciding] = [e for e in removals(seen(STARTLESS), bos=False) if e.weights == (PLACE,)]

    assert Verdicts(effects, ()).perplexities([PLACE]) == (deciding.ppl_before, deciding.ppl_after)
