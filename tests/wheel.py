"""Build the package as it is released (sdist, then wheel), install it alone, and try what must work without extras.

What an editable install hides shows here: a folder missing from the package list, data left out, a heavy import.
"""

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
HEAVY = "('torch', 'transformers', 'accelerate', 'safetensors')"

FEED = "from pathlib import Path; from swindex.index import feed; print(feed.newest(Path(feed.__file__).parent))"

# (what it shows, arguments of python, exit status, text that must be in the output)
CHECKS = (
    ("the version", ["-m", "swindex.api", "--version"], 0, "swindex "),
    ("the shipped index", ["-m", "swindex.api", "lookup", "mistralai/Mistral-7B-v0.1"], 0, "[2070, 7310]"),
    (
        "the client",
        ["-c", "import swindex; print(swindex.lookup('huggyllama/llama-7b').super_weights[0].row)"],
        0,
        "3968",
    ),
    ("the shipped change feed", ["-c", FEED], 0, "seq=70"),
    ("search", ["-m", "swindex.api", "search", "olmo"], 0, "allenai/OLMo-1B-0724-hf"),
    (
        "the default policy",
        ["-c", "from swindex.crawler.crawling.policy import Policy; print(Policy.read() == Policy())"],
        0,
        "True",
    ),
    ("a scan without the extra", ["-m", "swindex.api", "scan", "."], 3, "pip install 'swindex[crawl]'"),
    (
        "a crawl without the extra",
        ["-m", "swindex.api", "crawl", "a/b", "--index", "x"],
        3,
        "pip install 'swindex[crawl]'",
    ),
    ("a study without the extras", ["-m", "swindex.api", "study", ".", "--out", "x"], 3, "'swindex[crawl,serve]'"),
    ("a service without the extra", ["-m", "swindex.api", "serve"], 3, "pip install 'swindex[serve]'"),
    ("lightness", ["-c", f"import importlib.util as u; print([m for m in {HEAVY} if u.find_spec(m)])"], 0, "[]"),
    ("every package", ["-c", "import swindex.schema, swindex.index, swindex.crawler, swindex.api.commands"], 0, ""),
)


def main() -> None:
    """Build, install, try; exit 1 at the first thing that is not as it must be."""
    with tempfile.TemporaryDirectory(prefix="swindex-wheel-") as name:
        folder = Path(name)
        _run(sys.executable, "-m", "build", "--quiet", "--outdir", str(folder / "dist"), str(ROOT))
        (wheel,) = (folder / "dist").glob("*.whl")
        venv.create(folder / "venv", with_pip=True)
        python = folder / "venv" / "bin" / "python"
        _run(str(python), "-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt"), str(wheel))
        for what, arguments, status, text in CHECKS:
            _check(what, [str(python), *arguments], status, text, folder)
    print(f"wheel: {wheel.name} installed alone, {len(CHECKS)} passed, 0 failed")


def _run(*command: str) -> None:
    if subprocess.run(command).returncode != 0:
        sys.exit(f"wheel: failed: {' '.join(command[:4])} ...")


def _check(what: str, command: list[str], status: int, text: str, folder: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "SWINDEX_INDEX"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode != status or text not in done.stdout + done.stderr:
        sys.exit(f"wheel: {what}: exit {done.returncode}, expected {status} and {text!r}:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    main()
