"""Crawl many small checkpoints twice, once with a tenth of all answers faulty, and compare what the indexes say.

The checkpoints are copies of trained ones with other numbers in them, and some that cannot be scanned. The waits
between repetitions are made short, so that the times say what repetitions cost and not what politeness does.
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from safetensors.torch import load_file, save

from swindex.crawler.crawling import run
from swindex.crawler.crawling.report import CrawlReport
from swindex.crawler.detection.run import Options
from swindex.crawler.hub import retry, transport
from swindex.index.store import Index
from tests.hub import Hub

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"
SHARE = 0.1
QUICK = Options(effects=False, depth="screen")
CONFIG = b'{"model_type": "llama", "architectures": ["LlamaForCausalLM"]}'
REMOTE = b'{"model_type": "x1", "architectures": ["XForCausalLM"], "auto_map": {"AutoModelForCausalLM": "m.X"}}'
TWINS = ("stories260k-one", "aidreams260k", "stories260k", "aidreams260k", "stories260k-pair", "aidreams260k")
"""What the checkpoints that can be scanned are copies of, in turn."""
TIMES = frozenset({"time", "cost", "provenance"})
"""Keys of a record that two runs may differ in."""


@dataclass
class Both:
    """Two runs over the same models."""

    clean: CrawlReport
    faulty: CrawlReport
    differing: list[str]
    """Models whose records are not the same."""
    requests: tuple[int, int]
    faults: Counter[str]
    repeated: int

    @property
    def outcomes_differ(self) -> bool:
        """Whether a model ended otherwise."""
        return ends(self.clean) != ends(self.faulty)


def ends(report: CrawlReport) -> dict[str, str]:
    """How each model ended; a failure that passed was tried again."""
    return {a.model_id: a.outcome for a in report.attempts}


def fill(hub: Hub, count: int) -> list[str]:
    """Add so many models, every fifth of which cannot be scanned; returns their names."""
    names = [f"many/m{number:03d}" for number in range(count)]
    for number, name in enumerate(names):
        if number % 5 == 4:
            _refused(hub, name, number // 5)
        else:
            _scannable(hub, name, number)
    return names


def _scannable(hub: Hub, name: str, number: int) -> None:
    folder = CHECKPOINTS / TWINS[(number - number // 5) % len(TWINS)]
    state = load_file(folder / "model.safetensors")
    norm = next(n for n in state if n.endswith("norm.weight"))
    state[norm] = state[norm] * (1 + 1e-5 * number)
    files: dict[str, Any] = {p.name: p for p in folder.iterdir() if p.suffix == ".json" and p.name != "truth.json"}
    hub.add(name, {**files, "model.safetensors": save(state, {"format": "pt"})})


def _refused(hub: Hub, name: str, number: int) -> None:
    """One of the ways in which a model cannot be scanned."""
    weights = (CHECKPOINTS / "aidreams260k" / "model.safetensors").read_bytes()
    made: list[dict[str, Any]] = [
        {"files": {"config.json": CONFIG, "model.safetensors": weights}, "gated": "manual"},
        {"files": {"config.json": CONFIG, "model.safetensors": weights[:-5]}},
        {"files": {"config.json": REMOTE, "model.safetensors": weights}},
        {"files": {"config.json": CONFIG, "pytorch_model.bin": b"x"}},
        {"files": {"README.md": f"# {number}"}},
    ]
    if (chosen := number % (len(made) + 1)) < len(made):  # else it is not there at all
        kept = made[chosen]
        hub.add(name, kept.pop("files"), **kept)


def compare(count: int, folder: Path, options: Options = QUICK, seed: int = 0) -> Both:
    """Both runs, in this process."""
    with Hub() as hub, short_waits():
        names = fill(hub, count)
        clean, asked, _ = _run(names, hub, folder / "clean", options)
        rule = hub.fault("any", probability=SHARE, seed=seed)
        faulty, asked_faulty, repeated = _run(names, hub, folder / "faulty", options)
    before, after = (Index(folder / n) for n in ("clean", "faulty"))
    differing = [n for n in names if content(before, n) != content(after, n)]
    return Both(clean, faulty, differing, (asked, asked_faulty), rule.drawn, repeated)


def _run(names: list[str], hub: Hub, index: Path, options: Options) -> tuple[CrawlReport, int, int]:
    transport.uninstall()
    traffic = transport.install()
    hub.log.reset()
    try:
        report = run.crawl(names, index=index, options=options, api=HfApi(endpoint=hub.url, token=False))
    finally:
        transport.uninstall()
    return report, hub.log.count(), traffic.repeated


@contextmanager
def short_waits() -> Iterator[None]:
    """Repeat at once."""
    kept = retry.BASE_WAIT, retry.ROUNDING
    retry.BASE_WAIT, retry.ROUNDING = 0.001, 0.0
    try:
        yield
    finally:
        retry.BASE_WAIT, retry.ROUNDING = kept


def content(index: Index, name: str) -> Any:
    """What the newest record says, without times and costs."""
    return _timeless(json.loads(index.read(name).model_dump_json()))


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _timeless(v) for k, v in value.items() if k not in TIMES}
    return [_timeless(v) for v in value] if isinstance(value, list) else value
