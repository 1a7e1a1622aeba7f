"""A look before a scan, against the loopback Hub: identical files share one, fine-tunes are compared with a base."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import HfApi
from safetensors.torch import load_file, save_file

from swindex.api.changes import change
from swindex.api.client import Client
from swindex.api.report import report
from swindex.crawler.checkpoint.hub import HubCheckpoint
from swindex.crawler.crawling import run
from swindex.crawler.crawling.fine_tunes import is_settled
from swindex.crawler.crawling.jobs import Done, Job
from swindex.crawler.crawling.look import Looked, look
from swindex.crawler.crawling.own import offered
from swindex.crawler.crawling.policy import FineTunes
from swindex.crawler.crawling.twins import own_scan, share
from swindex.crawler.detection.run import Options
from swindex.crawler.parts.content import content_of
from swindex.crawler.scanning import scan_checkpoint
from swindex.index import database
from swindex.index.check import check
from swindex.index.counts import stats
from swindex.index.store import Index
from swindex.index.versions import with_parts, withdraw
from swindex.schema.errors import RecordError
from swindex.schema.record import Record
from swindex.schema.types import Outcome

from . import records as make
from .hub import Hub

PAIR = Path(__file__).parent / "checkpoints" / "stories260k-pair"
OPTIONS = Options(window=64)
DOWN = "model.layers.1.mlp.down_proj.weight"
ENOUGH = FineTunes(survival="enough", max_relative_drift=0.1)
SCALARS = 2
"""Super weights of the pair."""
CARD = "---\nbase_model: demo/pair\nbase_model_relation: {}\n---\n"


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    """A Hub on loopback that has the pair."""
    with Hub() as started:
        started.add_folder("demo/pair", PAIR)
        yield started


@pytest.fixture(scope="module")
def scanned(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index that has a scan of the pair; not to be changed."""
    folder = tmp_path_factory.mktemp("scanned")
    run.crawl(["demo/pair"], index=folder, options=OPTIONS, api=HfApi(endpoint=hub.url))
    return folder


@pytest.fixture
def index(scanned: Path, tmp_path: Path) -> Index:
    """A copy of that index."""
    return Index(Path(shutil.copytree(scanned, tmp_path / "index")))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the pair that may be changed."""
    return Path(shutil.copytree(PAIR, tmp_path / "copy"))


Opened = Callable[..., HubCheckpoint]
NUMBERS = itertools.count()


@pytest.fixture
def opened(hub: Hub) -> Opened:
    """Opens a folder as a repository of the Hub, with an emptied log."""

    def put(folder: Path, **meta: Any) -> HubCheckpoint:
        name = f"demo/copy-{next(NUMBERS)}"
        hub.clear()
        hub.add_folder(name, folder, **meta)
        return HubCheckpoint(name, None, HfApi(endpoint=hub.url))

    return put


def base(index: Index) -> Record:
    return index.read("demo/pair")


def edit(path: Path, **keys: Any) -> None:
    """Set keys of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))


def retrain(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> Path:
    """Change the tensors of a folder and say in its card that it is a fine-tune of the pair."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "README.md").write_text(CARD.format("finetune"))
    return folder


def noise(tensors: dict[str, torch.Tensor]) -> None:
    """Change every tensor but the one that holds the super weights."""
    for name, tensor in tensors.items():
        if name != DOWN:
            tensor += 1e-3


def factor(value: float) -> Callable[[dict[str, torch.Tensor]], None]:
    """Multiply the second super weight."""

    def change(tensors: dict[str, torch.Tensor]) -> None:
        tensors[DOWN][67, 173] *= value

    return change


def add(index: Index, done: Done) -> Record | None:
    """Append what became of a model, as a collector would."""
    parts = {k: getattr(done.result, k) for k in ("model", "scan", "super_weights", "groups", "effects", "survivals")}
    return index.add(done.result.model.id, lambda previous: with_parts(previous, **parts), "a test", make.TIME)


def contents(index: Index) -> dict[str, str]:
    """Content digest -> a model in the index that was itself scanned with it."""
    found = {content: m for m in index.models() if (content := offered(index.read(m))) is not None}
    return dict(sorted(found.items()))


def looked(index: Index, checkpoint: HubCheckpoint, fine_tunes: FineTunes = ENOUGH) -> Looked:
    return look(checkpoint, index, fine_tunes, contents(index).get, OPTIONS)


def taken(found: Looked) -> Done:
    """What a look gave in place of a scan."""
    assert found.done is not None, found.reason
    return found.done


# --- content ---


def test_a_scan_records_the_content_that_the_open_checkpoint_has(index: Index, opened: Opened) -> None:
    assert base(index).model.content == content_of(opened(PAIR)) is not None


def test_a_readme_and_idle_keys_are_no_content(index: Index, copy: Path, opened: Opened) -> None:
    (copy / "README.md").write_text("# Another name")
    edit(copy / "generation_config.json", temperature=0.5)
    edit(copy / "config.json", _name_or_path="/home/me/pair", transformers_version="5.1.0")

    assert content_of(opened(copy)) == base(index).model.content


@pytest.mark.parametrize(
    ("file", "keys"),
    [
        ("config.json", {"rms_norm_eps": 1e-5}),
        ("config.json", {"rope_parameters": {"rope_theta": 20000.0, "rope_type": "default"}}),
        ("config.json", {"transformers_version": "4.40.0"}),
        ("tokenizer_config.json", {"add_bos_token": False}),
        ("tokenizer.json", {"version": "1.1"}),
    ],
)
def test_another_config_or_tokenizer_is_another_content(
    file: str, keys: dict[str, Any], index: Index, copy: Path, opened: Opened
) -> None:
    edit(copy / file, **keys)

    assert content_of(opened(copy)) not in (None, base(index).model.content)


def test_another_bit_of_a_weight_is_another_content(index: Index, copy: Path, opened: Opened) -> None:
    with open(copy / "model.safetensors", "r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")

    assert content_of(opened(copy)) not in (None, base(index).model.content)


def test_a_folder_states_no_digests_and_so_no_content() -> None:
    from swindex.crawler.checkpoint.local import LocalCheckpoint

    assert content_of(LocalCheckpoint(PAIR)) is None


# --- twins ---


def test_a_copy_under_another_name_shares_the_scan_and_no_weight_is_read(
    index: Index, copy: Path, opened: Opened, hub: Hub
) -> None:
    (copy / "README.md").write_text("# Another name")
    checkpoint = opened(copy)

    done = taken(looked(index, checkpoint))

    origin = done.result.scan and done.result.scan.shared_from
    assert origin is not None
    assert (done.how, origin.model_id, origin.scan) == ("twin", "demo/pair", base(index).scans[-1].id)
    assert (len(hub.log), hub.log.count(r"safetensors"), done.requests) == (2, 0, 2)


def test_a_shared_scan_has_the_figures_of_the_twin(index: Index, copy: Path, opened: Opened) -> None:
    (copy / "README.md").write_text("# Another name")
    made = add(index, taken(looked(index, opened(copy))))
    twin = base(index)
    assert made is not None

    placed = [[(w.id, w.bits, w.activation_out) for w in r.super_weights] for r in (made, twin)]
    judged = [[(s.alone, s.grouped) for s in r.status.weights] for r in (made, twin)]
    lost = [[e.delta_nll for e in r.effects] for r in (made, twin)]
    assert (made.status.outcome, len(made.super_weights)) == ("found", SCALARS)
    assert all(one == other for one, other in (placed, judged, lost))


def test_only_what_the_shared_scan_found_is_shared(index: Index, copy: Path, opened: Opened) -> None:
    twin = base(index)
    one, two = (w.id for w in twin.super_weights)
    told = make.weight(2, 4, 3, scan=None)
    older = make.weight(3, 4, 3, scan="scan-0")
    more = twin.model_copy(
        update={
            "super_weights": (*twin.super_weights, told, older),
            "groups": (*twin.groups, make.group("reported", one, two, reported=True)),
            "effects": (make.effect("e", one, scan="scan-0"), *twin.effects),
            "scans": (make.scan("scan-0"), *twin.scans),
        }
    )

    done = share(more, opened(copy), OPTIONS)

    assert done is not None
    found = done.result
    assert ([w.id for w in found.super_weights], found.groups) == ([one, two], twin.groups)
    assert [e.corpus for e in found.effects] == [e.corpus for e in twin.effects]


def test_a_withdrawn_twin_shares_nothing(index: Index, copy: Path, opened: Opened) -> None:
    index.add("demo/pair", lambda p: p and withdraw(p, "a mistake", make.TIME), "a test", make.TIME)

    assert (contents(index), share(base(index), opened(copy), OPTIONS)) == ({}, None)


def test_an_index_with_a_shared_scan_is_sound(index: Index, copy: Path, opened: Opened) -> None:
    (copy / "README.md").write_text("# Another name")
    add(index, taken(looked(index, opened(copy))))
    database.update(index)

    assert (check(index), stats(index)["scans_shared"]) == ([], 1)


def test_the_same_copy_is_shared_once(index: Index, copy: Path, opened: Opened) -> None:
    (copy / "README.md").write_text("# Another name")
    done = taken(looked(index, opened(copy)))
    add(index, done)

    assert add(index, done) is None


def test_what_was_shared_is_not_shared_again(index: Index, copy: Path, opened: Opened) -> None:
    (copy / "README.md").write_text("# Another name")
    made = add(index, taken(looked(index, opened(copy))))
    assert made is not None

    assert (own_scan(made, OPTIONS), list(contents(index).values())) == (None, ["demo/pair"])


@pytest.mark.parametrize(
    "options", [Options(), Options(window=64, effects=False), Options(window=64, depth="screen"), Options(prompt="x")]
)
def test_a_scan_with_other_settings_is_not_shared(options: Options, index: Index, copy: Path, opened: Opened) -> None:
    assert share(base(index), opened(copy), options) is None


def test_a_scan_of_another_detector_is_not_shared(
    index: Index, copy: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("swindex.crawler.parts.settings.DETECTOR", "swindex 9.9.9")

    assert share(base(index), opened(copy), OPTIONS) is None


def test_a_shared_scan_that_is_said_to_be_of_the_model_itself_is_refused(
    index: Index, copy: Path, opened: Opened
) -> None:
    result = taken(looked(index, opened(copy))).result
    assert result.scan is not None
    assert result.scan.shared_from is not None
    origin = result.scan.shared_from.model_copy(update={"model_id": result.model.id})
    scan = result.scan.model_copy(update={"shared_from": origin})

    parts = {k: getattr(result, k) for k in ("model", "super_weights", "groups", "effects")}
    with pytest.raises(RecordError, match=r"is shared with .* itself"):
        make.make({**parts, "scans": (scan,)})


def test_a_shared_scan_of_an_unknown_model_is_found_by_the_check(
    index: Index, copy: Path, opened: Opened, tmp_path: Path
) -> None:
    (copy / "README.md").write_text("# Another name")
    done = taken(looked(index, opened(copy)))
    other = Index(tmp_path / "other")
    add(other, done)

    assert [f.code for f in check(other)] == ["shared-unknown", "database-missing"]


# --- fine-tunes ---


def test_a_fine_tune_that_kept_them_needs_no_scan(index: Index, copy: Path, opened: Opened, hub: Hub) -> None:
    checkpoint = opened(retrain(copy, noise))

    done = taken(looked(index, checkpoint))

    [survival] = done.result.survivals
    assert (done.how, done.outcome, done.result.scan) == ("survival", "inherited", None)
    assert [(s.state, s.compared) for s in survival.scalars] == [("same", "bits")] * SCALARS
    assert (survival.base, survival.base_record) == ("demo/pair", base(index).provenance.digest)
    assert done.requests == len(hub.log)


@pytest.mark.parametrize(("by", "spared"), [(1.0625, True), (0.9375, True), (1.5, False), (0.05, False), (-1.0, False)])
def test_a_drift_beyond_the_policy_is_a_matter_for_a_scan(
    by: float, spared: bool, index: Index, copy: Path, opened: Opened
) -> None:
    found = looked(index, opened(retrain(copy, factor(by))))

    assert (found.done is not None, len(found.survivals)) == (spared, 1)


def test_then_scan_gives_the_survival_and_asks_for_the_scan(index: Index, copy: Path, opened: Opened) -> None:
    found = looked(index, opened(retrain(copy, noise)), FineTunes(survival="then_scan", max_relative_drift=0.1))

    assert (found.done, [s.base for s in found.survivals]) == (None, ["demo/pair"])
    assert found.reason == "2 scalars of demo/pair: 2 same; a scan follows"


def test_a_scan_that_follows_takes_the_survival_into_its_version(index: Index, copy: Path, opened: Opened) -> None:
    checkpoint = opened(retrain(copy, noise))
    found = looked(index, checkpoint, FineTunes(survival="then_scan", max_relative_drift=0.1))
    scanned = scan_checkpoint(checkpoint, Options(effects=False))

    together = replace(scanned, survivals=found.survivals)
    made = add(index, Done(Job(checkpoint.model_id, checkpoint.revision), together))

    assert made is not None
    assert (made.status.outcome, made.survivals) == ("untested", found.survivals)


def test_off_looks_at_no_base(index: Index, copy: Path, opened: Opened, hub: Hub) -> None:
    found = looked(index, opened(retrain(copy, noise)), FineTunes(survival="off", max_relative_drift=0.1))

    assert (found.done, found.survivals, hub.log.count("safetensors")) == (None, (), 0)


@pytest.mark.parametrize("relation", ["adapter", "finetune"])
def test_an_adapter_or_a_quantized_model_is_left_to_the_scan(
    relation: str, index: Index, copy: Path, opened: Opened
) -> None:
    retrain(copy, noise)
    (copy / "README.md").write_text(CARD.format(relation))
    if relation != "adapter":
        edit(copy / "config.json", quantization_config={"quant_method": "fp8"})

    assert looked(index, opened(copy)).survivals == ()


def test_a_model_of_no_known_base_is_left_to_the_scan(index: Index, copy: Path, opened: Opened) -> None:
    retrain(copy, noise)
    (copy / "README.md").write_text("---\nbase_model: demo/nobody\n---\n")

    assert looked(index, opened(copy)) == Looked(None, (), "neither a twin nor a base model that was measured")


def test_a_checkpoint_that_cannot_be_read_is_left_to_the_scan(index: Index, copy: Path, opened: Opened) -> None:
    retrain(copy, noise)
    with open(copy / "model.safetensors", "ab") as file:
        file.write(b"\0")

    found = looked(index, opened(copy))

    assert (found.done, found.survivals, "truncated or padded" in found.reason) == (None, (), True)


def test_a_fine_tune_of_a_fine_tune_is_compared_with_what_was_measured(
    index: Index, copy: Path, opened: Opened, hub: Hub, tmp_path: Path
) -> None:
    first = opened(retrain(copy, factor(1.0625)))
    add(index, taken(looked(index, first)))
    again = Path(shutil.copytree(copy, tmp_path / "again"))
    retrain(again, factor(1.0625))
    (again / "README.md").write_text(f"---\nbase_model: {first.model_id}\n---\n")
    hub.add_folder("demo/again", again)

    found = looked(index, HubCheckpoint("demo/again", None, HfApi(endpoint=hub.url)))

    [survival] = found.survivals
    assert (survival.base, survival.scalars[1].drift) == ("demo/pair", pytest.approx(1.0625**2 - 1))
    assert found.done is None


@pytest.mark.parametrize("kind", ["twin", "survival"])
def test_what_became_of_a_model_travels_as_json(kind: str, index: Index, copy: Path, opened: Opened) -> None:
    if kind == "survival":
        retrain(copy, noise)
    done = taken(looked(index, opened(copy)))

    assert Done.from_json(json.loads(json.dumps(done.as_json()))) == done


def test_what_was_enough_is_settled_until_the_policy_the_commit_or_the_base_is_another(
    kept: Record, index: Index
) -> None:
    here = kept.model.revision
    policies = [
        ENOUGH,
        FineTunes(survival="enough", max_relative_drift=0.05),
        FineTunes(survival="then_scan", max_relative_drift=0.1),
    ]
    before = [is_settled(kept, here, index, policy) for policy in policies]
    before.append(is_settled(kept, make.OTHER_REVISION, index, ENOUGH))
    failed = make.scan("scan-9", Outcome.FAILED)
    index.add("demo/pair", lambda p: with_parts(p, model=base(index).model, scan=failed), "a test", make.TIME)

    assert (before, is_settled(kept, here, index, ENOUGH)) == ([True, False, False, False], False)


def test_a_base_whose_scan_is_shared_serves_as_it_is(
    index: Index, copy: Path, opened: Opened, hub: Hub, tmp_path: Path
) -> None:
    tuned = Path(shutil.copytree(copy, tmp_path / "tuned"))
    twin = opened(copy)
    add(index, taken(looked(index, twin)))
    retrain(tuned, noise)
    (tuned / "README.md").write_text(f"---\nbase_model: {twin.model_id}\n---\n")

    [survival] = looked(index, opened(tuned)).survivals

    assert (survival.base, survival.base_revision, [s.state for s in survival.scalars]) == (
        twin.model_id,
        twin.revision,
        ["same"] * SCALARS,
    )


# --- in the index and for a reader ---


@pytest.fixture
def kept(index: Index, copy: Path, opened: Opened) -> Record:
    """The record of a fine-tune that kept one scalar and moved the other by a 16th."""
    made = add(index, taken(looked(index, opened(retrain(copy, factor(1.0625))))))
    assert made is not None
    return made


def test_an_index_with_a_survival_is_sound(kept: Record, index: Index) -> None:
    database.update(index)

    assert (check(index), stats(index)["survivals"]) == (
        [],
        {"models": 1, "scalars": {"same": 1, "drifted": 1, "gone": 0}},
    )


def test_a_survival_is_a_row_for_each_scalar(kept: Record, index: Index) -> None:
    database.build(index)

    with database.connect(index) as con:
        rows = con.execute("SELECT base_model, weight_id, state, compared, drift, dtype FROM survivals").fetchall()
    assert sorted(rows) == [
        ("demo/pair", "L1.R67.C172", "same", "bits", 0.0, "float32"),
        ("demo/pair", "L1.R67.C173", "drifted", "bits", pytest.approx(0.0625), "float32"),
    ]


def test_the_same_survival_is_appended_once(kept: Record, index: Index) -> None:
    parts = {"model": kept.model, "scan": None, "survivals": kept.survivals}

    assert index.add(kept.model.id, lambda previous: with_parts(previous, **parts), "a test", make.TIME) is None


def test_a_look_up_gives_the_weights_of_the_base_and_what_became_of_them(kept: Record, index: Index) -> None:
    found = Client(index.directory).lookup(kept.model.id)

    [survival] = found.survivals
    assert (found.outcome, found.inherited_from and found.inherited_from.id) == ("inherited", "demo/pair")
    assert (survival.same, survival.drifted, survival.gone) == (1, 1, 0)
    assert (len(found.super_weights), survival.worst_drift) == (SCALARS, pytest.approx(0.0625))


def test_the_page_says_what_was_compared_and_what_was_not(kept: Record, index: Index) -> None:
    document = Client(index.directory).lookup(kept.model.id).model_dump(mode="json")

    page = " ".join(report(document, width=400).split())
    assert "Not scanned: only its base model's super weights were looked for here." in page
    assert f"Of the 2 scalars recorded of demo/pair (commit {base(index).model.revision[:12]})" in page  # type: ignore[index]
    assert "1 of 2 is bit-identical here, 1 of 2 drifted by +6.25%: compared at commit" in page
    assert "their bits were compared here, their effect was not" in page
    assert "L1.R67.C173: drifted: 4.66667 -> 4.95833 (+6.25%)" in page


def test_the_page_of_a_shared_scan_says_where_it_was_made(index: Index, copy: Path, opened: Opened) -> None:
    (copy / "README.md").write_text("# Another name")
    made = add(index, taken(looked(index, opened(copy))))
    assert made is not None

    page = " ".join(report(Client(index.directory).lookup(made.model.id).model_dump(mode="json"), width=400).split())
    assert "Scanned in demo/pair at commit" in page
    assert "whose files are identical; nothing was measured here." in page


def test_the_history_says_what_was_shared_and_compared(kept: Record, index: Index, copy: Path, opened: Opened) -> None:
    [compared] = change(None, json.loads(kept.model_dump_json())).survivals_added

    assert (compared.base, compared.same, compared.drifted, compared.gone) == ("demo/pair", 1, 1, 0)


def test_a_scan_after_a_survival_keeps_it_and_has_the_word(kept: Record, index: Index) -> None:
    scan = make.scan(revision=kept.model.revision, outcome=Outcome.NONE_FOUND)

    made = index.add(kept.model.id, lambda p: with_parts(p, model=kept.model, scan=scan), "a test", make.TIME)

    assert made is not None
    assert (made.status.outcome, made.survivals) == ("none_found", kept.survivals)


def test_a_scan_of_another_commit_drops_what_was_compared_at_the_old(kept: Record, index: Index) -> None:
    moved = kept.model.model_copy(update={"revision": make.OTHER_REVISION})
    scan = make.scan(revision=make.OTHER_REVISION, outcome=Outcome.NONE_FOUND)

    made = index.add(kept.model.id, lambda p: with_parts(p, model=moved, scan=scan), "a test", make.TIME)

    assert made is not None
    assert made.survivals == ()
