"""What an editable install hides: the package list, the direction of imports, generated files."""

import hashlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_folder_of_code_is_in_the_package_list() -> None:
    folders = [
        p.parent.relative_to(ROOT)
        for n in ("schema", "index", "crawler", "api")
        for p in (ROOT / n).rglob("__init__.py")
    ]
    found = {"swindex", *(".".join(["swindex", *f.parts]) for f in folders)}

    assert found == set(PROJECT["tool"]["setuptools"]["packages"])


def test_no_other_module_stands_at_the_root() -> None:
    assert [p.name for p in ROOT.glob("*.py")] == ["__init__.py"]


def test_the_version_is_said_once() -> None:
    stated = re.search(r'__version__ = "(.+)"', (ROOT / "__init__.py").read_text())

    assert stated is not None
    assert stated[1] == PROJECT["project"]["version"]


def test_what_is_pinned_includes_every_direct_dependency() -> None:
    pinned = {
        re.split("==", line)[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().split()
    }
    extras = PROJECT["project"]["optional-dependencies"]["crawl"]
    wanted = [*PROJECT["project"]["dependencies"], *extras, *PROJECT["dependency-groups"]["dev"]]
    names = {re.match(r"[A-Za-z0-9_-]+", w)[0].lower().replace("_", "-") for w in wanted}  # type: ignore[index]

    assert names - pinned == set()


def test_a_file_of_tests_is_for_one_process(request: pytest.FixtureRequest) -> None:
    if "PYTEST_XDIST_WORKER" not in os.environ:
        pytest.skip("all tests run in this process")

    assert request.node.nodeid.endswith("@packaging")  # else each process makes the same scans


def test_the_shipped_texts_are_those_of_their_provenance() -> None:

    texts = ROOT / "crawler" / "texts"
    stated = dict(
        reversed(line.split()) for line in (texts / "PROVENANCE.md").read_text().splitlines() if line[:4] == "    "
    )

    assert {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in texts.glob("*.txt")} == stated


def test_names_that_need_torch_say_so_where_it_is_not() -> None:
    program = (
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "from swindex.api import *\n"
        "import swindex.api\n"
        "assert 'ablated' in dir(swindex.api)\n"
        "swindex.api.ablated\n"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    told = "torch is not installed; working on a loaded model needs more: pip install 'swindex[crawl]'"
    assert done.stderr.splitlines()[-1] == f"swindex.api.commands.options.MissingExtraError: {told}"


def test_guarding_files_needs_no_torch(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'accelerate', 'safetensors'): sys.modules[name] = None\n"
        "from swindex.api.main import main\n"
        f"checkpoint, file = {str(ROOT / 'tests' / 'checkpoints' / 'stories260k')!r}, {str(tmp_path / 'b.json')!r}\n"
        "written = main(['guard', checkpoint, '--write-baseline', file])\n"
        "sys.exit(written or main(['guard', checkpoint, '--baseline', file]))\n"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert (done.returncode, "All tensors are what the baseline says." in done.stdout) == (0, True)


def test_the_process_that_leads_a_crawl_does_without_torch() -> None:
    program = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'accelerate', 'safetensors'): sys.modules[name] = None\n"
        "import swindex.crawler.crawling.fleet, swindex.crawler.crawling.gate, swindex.crawler.crawling.run\n"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")  # its workers import it, each for itself


def test_the_light_commands_need_no_crawl_extra() -> None:
    program = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'accelerate', 'safetensors'): sys.modules[name] = None\n"
        "from swindex.api.main import main\n"
        "sys.exit(main(['verify', 'demo/x', '--checkpoint', '/nowhere']) or main(['search', 'olmo']))\n"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert (done.returncode, done.stderr.count("Traceback"), "is not in the index" in done.stderr) == (1, 0, True)
