"""A listing of any length that is never held: model number i is made when it is asked for.

The synthetic models are called synthetic/model-0000000 and up, in falling order of downloads, and hold one
small config.json. They can be listed, filtered and described; they have no weights, only a claim about their
size. Those of one claimed size differ in name, revision and downloads alone, so that a page of them is filled
into a text that was made once.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from functools import cached_property
from itertools import islice
from typing import Any

from .blobs import Blob
from .repos import Clock, Commit, Repository

CONFIG = Blob(json.dumps({"architectures": ["LlamaForCausalLM"], "model_type": "llama"}).encode())
SIZES = (260_000, 1_100_000_000, 7_000_000_000, 70_000_000_000)
"""Claimed parameter counts, taken in turn."""

_NAME = re.compile(r"synthetic/model-(\d{7,})")


class Synthetic:
    """A sequence of made-up model repositories."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Repository:
        """Make model number `number`."""
        repo_id = f"synthetic/model-{number:07d}"
        commit = _SyntheticCommit({"config.json": CONFIG}, None, repo_id, "2026-01-01T00:00:00.000Z")
        total = SIZES[number % len(SIZES)]
        meta = {
            "downloads": self.count - number,
            "safetensors": {"parameters": {"BF16": total}, "total": total},
        }
        meta["tags"] = ["transformers", "safetensors", "llama", "text-generation", "region:us"]
        return Repository("models", repo_id, [commit], Clock(), meta, {"main": commit})

    def page(
        self, start: int, size: int, wanted: Callable[[Repository], bool], described: Callable[[Repository], Any]
    ) -> tuple[bytes, int | None]:
        """Return the JSON list of up to `size` models from `start` on, and the number of the next one, if any.

        `wanted` and `described` are asked of one model of each claimed size and must not look at its name.
        """
        kinds = [self[number] for number in range(min(len(SIZES), self.count))]
        texts = {n: _text(repo, described(repo)) for n, repo in enumerate(kinds) if wanted(repo)}
        numbers: Iterable[int] = (n for n in range(start, self.count) if n % len(SIZES) in texts)
        found = list(islice(numbers, size + 1))
        filled = [texts[n % len(SIZES)] % self.facts(n) for n in found[:size]]
        return f"[{','.join(filled)}]".encode(), found[size] if len(found) > size else None

    def facts(self, number: int) -> dict[str, Any]:
        """Return what is a model's own."""
        repo_id = f"synthetic/model-{number:07d}"
        return {"id": repo_id, "sha": _sha(repo_id), "downloads": self.count - number}

    def find(self, repo_id: str) -> Repository | None:
        """Return the model of that name, or None."""
        match = _NAME.fullmatch(repo_id)
        return self[int(match[1])] if match and int(match[1]) < self.count else None


class _SyntheticCommit(Commit):
    """A commit whose revision comes from the repository's name (its title), so that no two share it."""

    @cached_property
    def sha(self) -> str:
        return _sha(self.title)


def _sha(repo_id: str) -> str:
    return hashlib.sha1(repo_id.encode()).hexdigest()


def _text(repo: Repository, document: dict[str, Any]) -> str:
    """Return the JSON of a model with holes for what differs between models of its size."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":")).replace("%", "%%")
    text = text.replace(repo.id, "%(id)s").replace(repo.head.sha, "%(sha)s")
    return text.replace(f'"downloads":{repo.meta["downloads"]},', '"downloads":%(downloads)d,').replace(
        f'"downloads":{repo.meta["downloads"]}}}', '"downloads":%(downloads)d}'
    )
