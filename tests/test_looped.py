"""Layers that are called more than once (HRM-Text): finds, streams and figures are those of really zeroing the file."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from swindex.crawler.architectures.skeleton import Skeleton
from swindex.crawler.detection import constants as c
from swindex.crawler.detection import looped
from swindex.crawler.detection.lockstep import Batch
from swindex.crawler.detection.run import Options
from swindex.crawler.refusal import Refusal
from swindex.crawler.scanning import scan
from swindex.schema.types import Intervention, Outcome

from .plants import Plant, disk, generic, reference, tiny, treated
from .plants.reference import Spot
from .plants.shared import Scanned, one_thread, scanned

__all__ = ["one_thread"]
LOGITS = 5e-6
"""Largest difference of two logits, relative to the largest logit."""
NLL = 1e-4
STACK = 4
"""Layers of each of the two stacks."""
HIGH, MASKED = (STACK + 2, 31, 11), (STACK + 3, 31, 7)
"""Layer, row and col of two more scalars: one of the other stack, one that shows when the first is gone."""


def tensor_of(layer: int) -> str:
    """Of a down projection, by the number of its layer in a record."""
    stack, at = ("L", layer) if layer < STACK else ("H", layer - STACK)
    return f"model.{stack}_module.layers.{at}.mlp.down_proj.weight"


def make(folder: Path) -> Plant:
    """Three scalars: the planted one, and two more."""
    plant = generic.plant("hrm_text", folder.with_name("single"), "dense")
    once = disk.edited(plant.folder, folder.with_name("twice"), [(tensor_of(HIGH[0]), HIGH[1:])], value=2e3)
    disk.edited(once, folder, [(tensor_of(MASKED[0]), MASKED[1:])], value=15.0)
    return Plant(folder, plant.scalars)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Scanned:
    """The plant, scanned with effects on one window."""
    return scanned("hrm_text", make, tmp_path_factory, windows=1, window=65)


def layers_of(plain: Any) -> list[nn.Module]:
    """Both stacks, as a record numbers them."""
    return [*plain.model.L_module.layers, *plain.model.H_module.layers]


def spots(scan: Scanned, ids: tuple[str, ...]) -> list[Spot]:
    """Where the weights with these ids are."""
    return [Spot(w.layer, None, w.row, w.col) for w in scan.record.super_weights if w.id in ids]


# --- an independent implementation: the plain model with hooks, every call on its own ---


def rounds(folder: Path, ids: Tensor) -> list[dict[Spot, str]]:
    """Finds of each round of: run, note, zero the creators and amplifiers, run again."""
    plain = disk.plain(folder)
    found: list[dict[Spot, str]] = []
    while len(found) <= c.ROUNDS:
        seen: dict[Spot, str] = {}
        for number, kept in calls(plain, ids):
            for spot, role in reference._layer_finds(number, layers_of(plain)[number], kept):
                if seen.get(spot, "remover") == "remover":
                    seen[spot] = role
        found.append({s: r for s, r in seen.items() if not any(s in earlier for earlier in found)})
        for spot in (peeled := [s for s, r in seen.items() if r != "remover"]):
            layers_of(plain)[spot.layer].mlp.down_proj.weight.data[spot.row, spot.col] = 0
        if not peeled:
            break
    return found


def calls(plain: Any, ids: Tensor) -> list[tuple[int, dict[tuple[int, str], Any]]]:
    """Every call in order: the layer's number, and what went in and out of it and of its down projection."""
    kept: dict[tuple[int, str], Any] = {}
    made: list[tuple[int, dict[tuple[int, str], Any]]] = []
    hooks = []
    for number, layer in enumerate(layers_of(plain)):
        keep = partial(reference._keep, kept, number)
        hooks += [layer.mlp.down_proj.register_forward_hook(keep("down"))]
        hooks += [layer.mlp.register_forward_hook(keep("write")), layer.register_forward_hook(keep("layer"))]
        hooks.append(layer.register_forward_hook(lambda *_, n=number: made.append((n, dict(kept)))))
    with torch.no_grad():
        plain(input_ids=ids, use_cache=False)
    for hook in hooks:
        hook.remove()
    return made


def by_layer(folder: Path, ids: Tensor, where: list[Spot], kind: str) -> Tensor:
    """Logits (B, T, V) with scalars treated at every call of their layer."""
    base = [kept[number, "layer"][1] for number, kept in calls(disk.plain(folder), ids)]
    plain, count = disk.plain(folder), iter(range(len(base)))
    plain.config.use_cache = False
    for number, layer in enumerate(layers_of(plain)):
        layer.forward = _counted(layer, [s for s in where if s.layer == number], base, count, treated.COMBINE[kind])
    return disk.plain_logits(plain, ids)


def _counted(layer: Any, here: list[Spot], base: list[Tensor], count: Any, combine: Any) -> Callable[..., Any]:
    own = layer.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        at = next(count)
        if not here:
            return own(*args, **kwargs)
        layer.forward = own
        try:
            return treated._wrapped(layer, here, base[at], combine)(*args, **kwargs)
        finally:
            layer.forward = forward

    return forward


def difference(ours: Tensor, theirs: Tensor) -> float:
    """Largest absolute difference over the largest absolute value."""
    return float((ours - theirs).abs().max() / theirs.abs().max())


# --- finds ---


def test_scalars_of_both_stacks_and_a_masked_one_are_found_in_the_file(model: Scanned) -> None:
    found = {(w.layer, w.row, w.col): (w.tensor, w.index, w.round) for w in model.record.super_weights}
    [planted] = model.plant.scalars

    assert found[planted.layer, planted.row, planted.col] == (planted.tensor, planted.index, 0)
    assert found[HIGH] == (tensor_of(HIGH[0]), HIGH[1:], 0)
    assert found[MASKED] == (tensor_of(MASKED[0]), MASKED[1:], 1)


def test_the_rounds_find_what_removing_and_running_again_finds(model: Scanned) -> None:
    peeler = model.findings.peeler
    expected = rounds(model.plant.folder, peeler.batch.ids)
    found = {(f.round, f.place.layer, f.place.row, f.place.col, str(f.role)) for f in peeler.finds.values()}

    assert found == {(n, s.layer, s.row, s.col, role) for n, one in enumerate(expected) for s, role in one.items()}


def test_every_layer_of_both_stacks_is_one_row_of_the_profile(model: Scanned) -> None:
    last = model.record.scans[-1]

    assert (last.layers, last.layers_covered) == (2 * STACK, tuple(range(2 * STACK)))
    assert [p.layer for p in last.profile] == list(range(2 * STACK))


def test_the_profile_holds_the_largest_values_over_all_calls(model: Scanned) -> None:
    largest = [0.0] * (2 * STACK)
    for number, kept in calls(disk.plain(model.plant.folder), model.findings.peeler.batch.ids):
        largest[number] = max(largest[number], float(kept[number, "layer"][1].abs().max()))

    assert [p.residual for p in model.record.scans[-1].profile] == pytest.approx(largest, rel=1e-5)


# --- effects ---


def test_the_unmodified_stream_gives_the_logits_of_the_plain_model(model: Scanned) -> None:
    assert model.findings.ablator is not None
    ours = model.stream_logits(model.findings.ablator.baseline)

    assert difference(ours, disk.plain_logits(disk.plain(model.plant.folder), model.ids)) <= LOGITS


def test_a_removed_set_gives_the_logits_of_the_file_with_zeros(model: Scanned, tmp_path: Path) -> None:
    assert model.findings.ablator is not None
    streams = model.findings.ablator.sets | {frozenset([p]): r for p, r in model.findings.ablator.nulls.items()}
    assert len(streams) > len(model.findings.ablator.nulls) > 0
    for number, (places, residuals) in enumerate(streams.items()):
        edits = [(tensor_of(p.layer), (p.row, p.col)) for p in places]
        zeroed = disk.plain(disk.edited(model.plant.folder, tmp_path / str(number), edits))

        assert difference(model.stream_logits(residuals), disk.plain_logits(zeroed, model.ids)) <= LOGITS, places


@pytest.mark.parametrize("kind", sorted(treated.COMBINE))
def test_a_treated_set_gives_the_logits_of_layers_wrapped_at_every_call(model: Scanned, kind: str) -> None:
    assert model.findings.ablator is not None
    trials = {t: r for t, r in model.findings.ablator.trials.items() if t.treatment.kind is Intervention(kind)}
    assert trials
    for trial, residuals in trials.items():
        theirs = by_layer(model.plant.folder, model.ids, spots(model, tuple(p.id for p in trial.members)), kind)

        assert difference(model.stream_logits(residuals), theirs) <= LOGITS, trial


def test_the_largest_others_are_those_of_every_layer_from_the_first_find_on(model: Scanned, tmp_path: Path) -> None:
    ablator = model.findings.ablator
    assert ablator is not None
    first = min(w.layer for w in model.record.super_weights)
    found = {(w.tensor, w.index) for w in model.record.super_weights}
    stored, edits = disk.read(model.plant.folder), list[disk.Edit]()
    for layer in range(first, 2 * STACK):
        prefix = tensor_of(layer).removesuffix("mlp.down_proj.weight")
        mine = {n: t for n, t in stored.items() if n.startswith(prefix) and t.dim() == 2}
        sizes = [
            (float(v), n, divmod(i, t.shape[1]))
            for n, t in mine.items()
            for i, v in enumerate(t.abs().flatten().tolist())
        ]
        sizes = sorted((s for s in sizes if (s[1], s[2]) not in found), reverse=True)
        edits += [(n, at) for _, n, at in sizes[: int(c.OUTLIER_PART * (len(sizes) + len(found)))]]
    zeroed = disk.plain(disk.edited(model.plant.folder, tmp_path / "zeroed", edits))

    assert ablator.others.count == len(edits)
    assert difference(model.stream_logits(ablator.outliers), disk.plain_logits(zeroed, model.ids)) <= LOGITS


def test_the_figures_are_those_of_the_plain_models(model: Scanned, tmp_path: Path) -> None:
    base = disk.plain_logits(disk.plain(model.plant.folder), model.ids)
    for number, effect in enumerate(model.removals):
        edits = [(w.tensor, w.index) for w in model.record.super_weights if w.id in effect.weights]
        zeroed = disk.plain(disk.edited(model.plant.folder, tmp_path / str(number), edits))

        assert effect.nll_before == pytest.approx(disk.plain_nll(base, model.ids), abs=NLL)
        assert effect.nll_after == pytest.approx(
            disk.plain_nll(disk.plain_logits(zeroed, model.ids), model.ids), abs=NLL
        )


# --- what else may be asked ---


def test_a_screen_finds_the_planted_scalar_too(model: Scanned) -> None:
    record = scan(str(model.plant.folder), options=Options(depth="screen"))

    assert model.plant.scalars[0].id in {w.id for w in record.super_weights}


def test_a_model_whose_layers_do_not_fit_is_too_large(model: Scanned, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looped, "MOST", 100_000)
    last = scan(str(model.plant.folder), options=Options(effects=False)).scans[-1]

    assert last.outcome is Outcome.TOO_LARGE
    assert "calls layers more than once" in (last.reason or "")


def proven(model: Any) -> int:
    """How many layers of a whole model are proven."""
    skeleton = Skeleton(model, model.model.L_module.layers, ["model.L_module.layers.0"], {})
    skeleton.join()
    batch = Batch(generic.PROMPT, torch.zeros(*generic.PROMPT.shape, 48))
    return len(looped.prove(skeleton, batch, "here"))


def test_layers_are_proven_where_the_last_call_makes_the_logits() -> None:
    assert proven(tiny.tiny_model("hrm_text", 1)) == 2 * STACK


def test_a_model_whose_logits_hold_more_than_the_last_call_is_refused() -> None:
    model, low = tiny.tiny_model("hrm_text", 1), list[Tensor]()
    model.get_submodule("model.L_module").register_forward_hook(lambda _m, _a, out: low.append(out))
    model.get_submodule("model.H_module").register_forward_hook(lambda _m, _a, out: out + low[-1])

    with pytest.raises(Refusal, match="not the last call alone makes the logits"):
        proven(model)
