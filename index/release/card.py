"""README.md of a release: the dataset's card, with the YAML that the Hub reads and the tables as their data says.

Counts come from the release itself. What sources call themselves is shown as text, whatever is in it. Knows Markdown.
"""

import json
from collections.abc import Iterator

from ..markdown import text
from ..rows import Table
from ..site import Root
from ..tables import TABLES
from .facts import Counted, Facts
from .parquet import FOLDER, columns_of

NAME = "swindex"
PRETTY = "swindex: the super weights of language models"
LICENSE = "cc0-1.0"
DEFAULT = "super_weights"
TAGS = ("super-weights", "quantization", "pruning", "interpretability", "language-models")
SOURCES_MOST = 300
DESCRIPTION = (
    "Super weights are the few scalars of a language model whose removal destroys it. For each model this index says "
    "which they are, down to tensor, position and bits at a commit, what was measured when they were removed, what "
    "outside sources claim, and where nothing was found or no scan could be made."
)
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))

_FORMS = """\
| Where | What |
|---|---|
| `versions/` | The versions of all records, JSON Lines, byte for byte as appended. All else is made from these. |
| `changes/` | A line for each line of `versions/`: model, version, digest, and a chain of sha256 over all so far. |
| `parquet/` | The tables below, a folder each. |
| `index.duckdb` | The same tables, and the versions, in a DuckDB file (1.2 or newer opens it). |
| `nodes/`, `root.json` | A tree of digests over the newest version of every model, and its root. |
| `croissant.json` | This description for machines. |
"""

_USE = """\
```python
import polars as pl
weights = pl.read_parquet("hf://datasets/ORG/NAME/parquet/super_weights/*.parquet")
confirmed = weights.filter((pl.col("location") == "confirmed") & (pl.col("alone") == "confirmed"))
```

```sh
swindex lookup MODEL --index hf://datasets/ORG/NAME
```
"""

_LIMITS = """\
- **Reported is not confirmed.** `location = 'reported'` is what outside sources claim and nobody here checked;
  `confirmed` means that a scan of ours found the scalar at the commit in `revision`. `alone` and `grouped` are verdicts
  on removing it; `alone_basis` and `grouped_basis` say whose figures they rest on.
- **A row is not a verdict.** `super_weights` holds candidates that turned out inert, and disputed and refuted claims:
  filter by `location` and `alone`.
- **A model that is not here was not scanned.** An outcome such as `gated` or `failed` says why no scan could be made;
  only `none_found` means that a scan found nothing, within the settings in `scans`.
- **Figures are of one text and one set of prompts.** Perplexities of different sources are not comparable.
- **Withdrawn records stay** and have `withdrawn_time`: leave them out of what you count.
"""

_VERIFY = """\
`swindex verify MODEL` reads each recorded scalar again from the checkpoint, a few bytes at the recorded commit, and
compares its bits. Each version carries the sha256 of its canonical JSON (RFC 8785) without `provenance.digest`, and the
digest of the version before. Each change carries the sha256 of the chain before it and of itself, so the `chain` in
`root.json` stands for all changes, and `tree` there for the newest version of every model.
"""

_LICENCE = """\
The data are dedicated to the public domain under [CC0 1.0](https://creativecommons.org/publicdomain/zero/1.0/). They
are facts, each with its source named. Naming swindex, with the `seq` of the release, and the source of an observation
is good practice and not a condition.
"""


def card(facts: Facts, root: Root) -> str:
    """The text of README.md."""
    parts = (
        _front(facts),
        f"# {PRETTY}",
        DESCRIPTION,
        f"Release of {root.released}, up to change {root.seq} (schema {root.schema}). {_crawled(root)}",
        "## What is in it",
        "\n".join(_counts(facts, root)),
        "## Forms",
        _FORMS,
        "## Use",
        _USE,
        "## What to mind",
        _LIMITS,
        "## Verify",
        _VERIFY,
        "## Tables",
        "Row is the output channel and col the input channel, also where a tensor is stored transposed. Times are UTC. "
        "`load_dataset` knows the tables that have rows.",
        *(_table(table, facts) for table in TABLES),
        "## Sources",
        "\n".join(_sources(facts)),
        "## Licence",
        _LICENCE,
    )
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _front(facts: Facts) -> str:
    """The YAML before the text; strings are quoted as JSON, which YAML reads.

    A table without rows is no config: `load_dataset` cannot open one ("corresponds to no data").
    """
    names = sorted((table.name for table in TABLES if facts.rows[table.name]), key=lambda name: name != DEFAULT)
    lines = ["---", f"license: {LICENSE}", f"pretty_name: {json.dumps(PRETTY)}", "tags:"]
    lines += [f"- {tag}" for tag in TAGS]
    lines += ["size_categories:", f"- {json.dumps(_size(facts.rows[DEFAULT]))}", *(["configs:"] if names else [])]
    for name in names:
        lines += [f"- config_name: {name}", *(["  default: true"] if name == DEFAULT else [])]
        lines += ["  data_files:", "  - split: train", f"    path: {json.dumps(f'{FOLDER}/{name}/*.parquet')}"]
    return "\n".join([*lines, "---"])


def _size(rows: int) -> str:
    return next((words for most, words in _SIZES if rows < most), "n>1M")


def _crawled(root: Root) -> str:
    if root.crawl is None:
        return "No crawl is known, so how much of the Hub it covers is not."
    crawl = root.crawl
    covered = f"{crawl['indexed']} of the {crawl['eligible']} models that are eligible"
    return text(f"The last crawl ended {crawl['ended']} and covered {covered}.")


def _counts(facts: Facts, root: Root) -> Iterator[str]:
    yield from (
        "| What | Count |",
        "|---|---:|",
        f"| Models | {root.models} |",
        f"| of them withdrawn | {facts.withdrawn} |",
    )
    yield f"| Versions of records | {facts.rows['records']} |"
    for what, counted in _groups(facts):
        yield from (f"| {what} {text(name)} | {count} |" for name, count in counted)
    yield f"| Observations of outside sources | {facts.rows['observations']} |"


def _groups(facts: Facts) -> tuple[tuple[str, Counted], ...]:
    return (
        ("Models with outcome", facts.outcomes),
        ("Super weights with location", facts.locations),
        ("Super weights with verdict alone", facts.alone),
    )


def _table(table: Table, facts: Facts) -> str:
    lines = [f"### {table.name}", "", f"{table.meaning} {facts.rows[table.name]} rows.", ""]
    lines += ["| Column | Type | Meaning |", "|---|---|---|"]
    lines += [f"| `{column.name}` | {column.type} | {text(column.meaning)} |" for column in columns_of(table)]
    return "\n".join(lines)


def _sources(facts: Facts) -> Iterator[str]:
    yield from ("Please cite the source of an observation with it:", "") if facts.sources else ("None.",)
    for source in facts.sources[:SOURCES_MOST]:
        words = ", ".join(text(word) for word in (source.title, source.url) if word)
        yield f"- {text(source.origin)}: {words} ({source.observations} observations)"
    if len(facts.sources) > SOURCES_MOST:
        yield f"- and {len(facts.sources) - SOURCES_MOST} more, see `origin`, `title` and `url` in `observations`"
