"""What a benchmark prints and keeps: tables on the terminal, the same figures as JSON with the facts of the machine."""

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


class Report:
    """Sections of figures."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sections: dict[str, Any] = {}

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Print a table: the first column is text, the others numbers or text."""
        cells = [[_text(c) for c in row] for row in rows]
        widths = [max(len(row[n]) for row in [list(columns), *cells]) for n in range(len(columns))]
        print(f"\n{title}")
        for row in [list(columns), *cells]:
            first, *others = (c.ljust(w) if n == 0 else c.rjust(w) for n, (c, w) in enumerate(zip(row, widths)))  # noqa: B905
            print("  " + "  ".join([first, *others]))

    def say(self, text: str) -> None:
        """Print a line below a table."""
        print(f"  {text}", flush=True)

    def target(self, what: str, found: float, most: float) -> dict[str, Any]:
        """Print a figure beside what it should be at most, and return it for the JSON."""
        self.say(f"{'met   ' if found <= most else 'MISSED'} {what}: {found:.3g} (at most {most:.3g})")
        return {"what": what, "found": round(found, 4), "at_most": round(most, 4), "met": found <= most}

    def keep(self, section: str, **figures: Any) -> None:
        """Remember the figures of a section; they are written at once, so that a run cut short leaves what it had."""
        self.sections[section] = figures
        RESULTS.mkdir(exist_ok=True)
        day = datetime.now(UTC).strftime("%Y-%m-%d")
        text = json.dumps({"date": day, "machine": machine(), **self.sections}, indent=1)
        (RESULTS / f"{day}-{self.name}.json").write_text(text + "\n")


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "processor": _line("/proc/cpuinfo", "model name"),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "load_at_end": [round(x, 2) for x in os.getloadavg()],
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers", "huggingface_hub")},
    }


def _line(path: str, key: str) -> str | None:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), None)


def _text(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.3g}"
