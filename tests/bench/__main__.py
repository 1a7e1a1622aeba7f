"""`make bench`: the figures of the README, each a ratio measured side by side in one run on this machine."""

import argparse
import json
import os
import platform
import sys
import tempfile
from pathlib import Path

from tests.bench.generate import generate
from tests.bench.processes import Timed, in_turn

SWINDEX = str(Path(sys.executable).parent / "swindex")


def main() -> None:
    """Run the benchmarks and print them."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="counted runs of each command")
    parser.add_argument("--checkpoint", type=Path, help="where to keep the generated checkpoint (2.2 GB)")
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; medians\n")
    lookup(7 * arguments.runs)
    with tempfile.TemporaryDirectory(prefix="swindex-bench-") as name:
        folder = arguments.checkpoint or Path(name) / "llama-1.1b"
        if not (folder / "model.safetensors").exists():
            generate(folder)
        scan(folder, arguments.runs)


def lookup(runs: int) -> None:
    """Cold start of a look-up against that of Python itself."""
    rows = in_turn(
        [
            Timed("python -c pass", [sys.executable, "-c", "pass"]),
            Timed("swindex --version", [SWINDEX, "--version"]),
            Timed("swindex lookup mistralai/Mistral-7B-v0.1", [SWINDEX, "lookup", "mistralai/Mistral-7B-v0.1"]),
            Timed("swindex lookup ... --json", [SWINDEX, "lookup", "mistralai/Mistral-7B-v0.1", "--json"]),
        ],
        runs,
    )
    print(f"Cold start, {runs} fresh processes each")
    for timed in rows:
        print(f"  {timed.name:44} {timed.wall * 1e3:7.1f} ms   x{timed.wall / rows[0].wall:.2f}")


def scan(folder: Path, runs: int) -> None:
    """A scan of 1.1 billion parameters against loading the whole model."""
    size = (folder / "model.safetensors").stat().st_size
    usual = [sys.executable, "-m", "tests.bench.usual", str(folder)]
    detect = [SWINDEX, "scan", str(folder), "--json", "--no-effects", "--out", str(folder / "detect.json")]
    rows = in_turn(
        [
            Timed("usual way, bfloat16, the paper's prompt", [*usual, "bfloat16", "paper"]),
            Timed("usual way, bfloat16, the same sequences", [*usual, "bfloat16", "same"]),
            Timed("usual way, float32, the same sequences", [*usual, "float32", "same"]),
            Timed("swindex scan --no-effects (float32)", detect),
        ],
        runs,
    )
    full = [SWINDEX, "scan", str(folder), "--json", "--out", str(folder / "full.json")]
    rows += in_turn([Timed("swindex scan, with the causal test", full)], 1)
    print(f"\nScan of a generated Llama, {size / 1e9:.2f} GB in bfloat16, {runs} runs each (the causal test: 1)")
    for timed in rows:
        print(f"  {timed.name:44} {timed.wall:7.1f} s  {timed.memory:7.0f} MB  {_reads(timed, folder, size)}")
    print(f"  peak memory against the usual way: x{rows[3].memory / rows[0].memory:.2f} detection alone, "
          f"x{rows[4].memory / rows[0].memory:.2f} with the causal test")  # fmt: skip
    print(f"  wall time of detection alone: x{rows[3].wall / rows[0].wall:.2f} of bfloat16 on the paper's prompt, "
          f"x{rows[3].wall / rows[1].wall:.2f} of bfloat16 and x{rows[3].wall / rows[2].wall:.2f} of float32 on the "
          "same sequences")  # fmt: skip


def _reads(timed: Timed, folder: Path, size: int) -> str:
    if "swindex" not in timed.name:
        return "maps the whole file"
    name = "detect.json" if "--no-effects" in timed.name else "full.json"
    cost = json.loads((folder / name).read_text())["scans"][-1]["cost"]
    return f"{cost['bytes_read'] / size:.3f} reads"


if __name__ == "__main__":
    main()
