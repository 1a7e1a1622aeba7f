"""A listing of any length that is never held: model number i is made when it is asked for.

The synthetic models are called synthetic/model-0000000 and up, in falling order of downloads, and hold one
small config.json. They can be listed, filtered and described; they have no weights, only a claim about their
size.
"""

from __future__ import annotations

import hashlib
import json
import re
from functools import cached_property

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

    def find(self, repo_id: str) -> Repository | None:
        """Return the model of that name, or None."""
        match = _NAME.fullmatch(repo_id)
        return self[int(match[1])] if match and int(match[1]) < self.count else None


class _SyntheticCommit(Commit):
    """A commit whose revision comes from the repository's name (its title), so that no two share it."""

    @cached_property
    def sha(self) -> str:
        return hashlib.sha1(self.title.encode()).hexdigest()
