"""`make bench`: the figures of the README, each measured side by side with the usual way in one run on this machine.

`make bench-large` (--large): 7 billion parameters from disk, 70 billion from a Hub that makes them up as it sends them,
an index of a million models.
"""

import argparse
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.bench.bench import PROMPT, RESERVE, SWINDEX, TEXT, TIMES, Bench
from tests.bench.crawls import faults, listing, workers
from tests.bench.many import scale, scale_large
from tests.bench.processes import MB, Timed, in_turn
from tests.bench.report import Report, machine
from tests.bench.serve import serving
from tests.bench.shapes import SHAPES, Shape


def lookup(bench: Bench) -> None:
    """Cold start of a look-up against that of Python itself."""
    rows = in_turn(
        [
            Timed("python -c pass", [sys.executable, "-c", "pass"]),
            Timed("swindex --version", [SWINDEX, "--version"]),
            Timed("swindex lookup mistralai/Mistral-7B-v0.1", [SWINDEX, "lookup", "mistralai/Mistral-7B-v0.1"]),
            Timed("swindex lookup ... --json", [SWINDEX, "lookup", "mistralai/Mistral-7B-v0.1", "--json"]),
        ],
        7 * bench.runs,
    )
    columns = ("", "ms", "times Python")
    bench.report.table(
        f"Cold start, {7 * bench.runs} fresh processes each",
        columns,
        [(t.name, 1e3 * t.wall, t.wall / rows[0].wall) for t in rows],
    )
    bench.report.keep("lookup", rows=[t.as_json() for t in rows])


def detection(bench: Bench, name: str = "llama-1.1b") -> None:
    """Detection alone on 1.1 billion parameters against loading the whole model."""
    here = str(bench.made(name))
    rows = in_turn(
        [
            bench.scan("swindex scan --no-effects --rounds 0 (one pass)", here, "--no-effects", "--rounds", "0"),
            bench.usual("usual way, float32, the same sequences", name, "float32", "same"),
            bench.scan("swindex scan --no-effects (and what is masked)", here, "--no-effects"),
            bench.usual("usual way, float32, the find removed, run again", name, "float32", "again"),
            bench.usual("usual way, bfloat16, the same sequences", name, "bfloat16", "same"),
            bench.usual("usual way, bfloat16, the paper's prompt", name, "bfloat16", "paper"),
            Timed("importing torch and transformers' Llama alone", [sys.executable, "-c", IMPORTS]),
            bench.scan("swindex scan --depth screen", here, "--depth", "screen"),
        ],
        bench.runs,
    )
    once, full, ours, again, half, _, imports, screen = rows
    report = bench.report
    bench.show(f"Detection alone, {name}, {bench.runs} runs each", rows)
    targets = [
        report.target("one pass against one pass in float32, after imports", once.inside / full.inside, 0.6),
        report.target("with what is masked, both, after imports", ours.inside / again.inside, 0.6),
        report.target("with what is masked against one pass, after imports", ours.inside / full.inside, 0.6),
        report.target("one pass against one pass, the whole process", once.wall / full.wall, 0.6),
        report.target("with what is masked, both, the whole process", ours.wall / again.wall, 0.6),
        report.target("with what is masked against one pass, the whole process", ours.wall / full.wall, 0.6),
        report.target("one pass against one pass in bfloat16, after imports", once.inside / half.inside, 0.6),
        report.target("with what is masked against that, after imports", ours.inside / half.inside, 0.6),
        report.target("the same, the whole process", ours.wall / half.wall, 0.6),
        report.target("a screen after imports against the usual way in float32", screen.inside / full.inside, 0.6),
        *costs(report, ours, SHAPES[name]),
    ]
    report.say(f"the imports alone are x{imports.wall / half.wall:.2f} of the usual way in bfloat16")
    report.keep("detection", rows=[t.as_json() for t in rows], targets=targets)


IMPORTS = "import torch; from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM"


def costs(report: Report, ours: Timed, shape: Shape) -> list[dict[str, object]]:
    """Bytes read and peak memory of a scan against what they may be."""
    cost = ours.scan["scans"][-1]["cost"]
    most = limit(ours, shape)
    return [
        report.target("bytes read against the checkpoint", cost["bytes_read"] / cost["bytes_checkpoint"], 1.01),
        report.target(f"peak memory, MB ({shape.name})", ours.memory, most),
    ]


def limit(ours: Timed, shape: Shape) -> float:
    """Two layers in float32, the streams and the reserve, MB."""
    scan, effects = ours.scan["scans"][-1], ours.scan["effects"]
    tokens = PROMPT * (scan["rounds"] + 1)
    for corpus in {e["corpus"]["name"]: e["corpus"] for e in effects}.values():
        tokens += corpus["windows"] * corpus["window"] * evaluations(ours)
    return (2 * shape.layer * 4 + tokens * shape.width * 4) / MB + RESERVE


def evaluations(ours: Timed) -> int:
    """Models evaluated on every window of each text: the unmodified one, each set under each treatment, the one without
    large other weights; and the controls, of which each is evaluated on the first window alone."""
    effects = ours.scan["effects"]
    treated = {(tuple(e["weights"]), e["intervention"], e["scale"]) for e in effects}
    controls = {(w["layer"], w["row"], w["col"]) for e in effects if e["control"] for w in e["control"]["weights"]}
    windows = max((e["corpus"]["windows"] for e in effects), default=1)
    return 1 + len(treated) + any(e.get("outliers") for e in effects) + -(-len(controls) // windows)


def effects(bench: Bench, name: str = "llama-1.1b") -> None:
    """Detection and effects on 8 windows of 512 tokens against as many plain evaluations of the whole model."""
    sizes = ("--windows", "8", "--window", "512", "--text", str(TEXT))
    ours = bench.scan("swindex scan, 8 windows of 512 tokens", str(bench.made(name)), *sizes)
    ours.run()
    sets = evaluations(ours)
    plain = bench.usual(
        f"usual way, float32, {sets} x 8 evaluations", name, "float32", "evaluate", str(sets), "8", "512", str(TEXT)
    )
    plain.run()
    bench.show(f"Detection and effects, {name}, {sets} models on 8 windows, one run each", [ours, plain])
    targets = [
        bench.report.target("wall time against as many plain evaluations", ours.wall / plain.wall, 1.2),
        bench.report.target("the same after imports", ours.inside / plain.inside, 1.2),
        *costs(bench.report, ours, SHAPES[name]),
    ]
    bench.report.keep("effects", evaluations=sets, rows=[ours.as_json(), plain.as_json()], targets=targets)


def hub(bench: Bench, name: str = "llama-1.1b") -> None:
    """From a loopback Hub, which shares this machine's cores, against from local disk."""
    with serving(name) as environment:
        rows = in_turn(
            [
                bench.scan("from disk", str(bench.made(name)), "--no-effects"),
                bench.scan("from the loopback Hub", f"bench/{name}", "--no-effects", environment=environment),
            ],
            bench.runs,
        )
    here, there = rows
    bench.show(f"Detection alone from disk and from the Hub, {name}, {bench.runs} runs each", rows)
    targets = [
        bench.report.target("wall time against from disk", there.wall / here.wall, 1.3),
        *costs(bench.report, there, SHAPES[name]),
    ]
    bench.report.keep("hub", rows=[t.as_json() for t in rows], targets=targets)


def sizes(bench: Bench, names: tuple[str, ...] = ("llama-0.1b", "llama-0.35b", "llama-1.1b")) -> None:
    """Cost of detection against size."""
    rows = in_turn([bench.scan(n, str(bench.made(n)), "--no-effects") for n in names], bench.runs, warm=len(names) < 4)
    report, shapes = bench.report, [SHAPES[n] for n in names]
    columns = ("Detection alone", "B parameters", *TIMES[1:], "limit MB", "s after imports per B")
    billions = [s.parameters / 1e9 for s in shapes]
    report.table(
        f"Cost against size, {bench.runs} runs each",
        columns,
        [
            (t.name, b, t.wall, t.inside, t.memory, limit(t, s), t.inside / b)
            for t, s, b in zip(rows, shapes, billions, strict=True)
        ],
    )
    targets = [
        report.target(
            f"growth of time from {a.name} to {b.name} against that of parameters",
            (b.inside / a.inside) / (bs.parameters / as_.parameters),
            1.0,
        )
        for a, b, as_, bs in zip(rows, rows[1:], shapes, shapes[1:], strict=False)
    ]
    targets += [each for t, s in zip(rows, shapes, strict=True) for each in costs(report, t, s)]
    kept = [{**t.as_json(), "billions": round(b, 4)} for t, b in zip(rows, billions, strict=True)]
    report.keep("sizes", rows=kept, targets=targets)


def large(bench: Bench) -> None:
    """The table of sizes up to 7 billion parameters, and the usual way on the largest."""
    name = "llama-7b"
    sizes(bench, ("llama-0.1b", "llama-0.35b", "llama-1.1b", name))
    usual = bench.usual("usual way, bfloat16, the same sequences", name, "bfloat16", "same")
    in_turn([usual], 1, warm=False)
    bench.show("7 B parameters, whole in memory, once", [usual])
    bench.report.keep("large", rows=[usual.as_json()])
    shutil.rmtree(bench.folder / name)


def huge(bench: Bench) -> None:
    """70 billion parameters from the loopback Hub, layer by layer; nothing of them is on disk."""
    name = "llama-70b"
    with serving(name) as environment:
        ours = bench.scan("swindex scan --no-effects", f"bench/{name}", "--no-effects", environment=environment)
        ours.run()
    bench.show("Detection alone, 70 B parameters streamed by the loopback Hub, once", [ours])
    rate = ours.scan["scans"][-1]["cost"]["bytes_read"] / 1e9 / ours.inside
    bench.report.say(f"{rate:.2f} GB/s of weights read, converted and multiplied; outcome {outcome(ours)}")
    bench.report.keep("huge", rows=[ours.as_json()], targets=costs(bench.report, ours, SHAPES[name]))


def outcome(ours: Timed) -> str:
    """What a scan says."""
    return f"{ours.scan['scans'][-1]['outcome']}, {[w['id'] for w in ours.scan['super_weights']]}"


DEFAULT: tuple[Callable[[Bench], None], ...] = (lookup, detection, hub, sizes, effects, listing, workers, faults, scale)
LARGE: tuple[Callable[[Bench], None], ...] = (large, huge, scale_large)


def main() -> None:
    """Run the benchmarks, print them, and keep their figures in tests/bench/results."""
    names = {f.__name__: f for f in (*DEFAULT, *LARGE)}
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="counted runs of each command")
    parser.add_argument(
        "--large", action="store_true", help="7 B from disk (13.5 GB are written), 70 B from a Hub, 1 M models"
    )
    parser.add_argument("--only", choices=list(names), action="append", help="just this; may be repeated")
    parser.add_argument("--folder", type=Path, help="where to keep generated checkpoints (3.2 GB, large: 17 GB)")
    parser.add_argument("--models", type=int, default=10_000, help="of the index of many models")
    arguments = parser.parse_args()
    chosen = [names[n] for n in arguments.only] if arguments.only else LARGE if arguments.large else DEFAULT
    name = "-".join(["bench", *(arguments.only or (["large"] if arguments.large else []))])
    facts = machine()
    print(f"{facts['processor']}, {facts['cores']} cores, {facts['memory_gb']} GB, Python {platform.python_version()}; "
          "medians")  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="swindex-bench-") as temporary:
        bench = Bench(arguments.folder or Path(temporary), arguments.runs, Report(name), arguments.models)
        for each in chosen:
            each(bench)


if __name__ == "__main__":
    main()
