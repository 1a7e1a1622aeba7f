"""The digest over all that a scan of a checkpoint depends on, from its listing and its config alone: no weight is read.

Equal digests mean that a scan with equal settings would give the same result. It is over the digests that the source
itself states: sha256 of each weight file by name, git's or sha256 of each tokenizer file, and the config without the
keys that mean nothing to a scan. Other files (README, generation_config.json, ...) do not count.
"""

from typing import Any

from ...schema.errors import JsonError
from ..checkpoint.base import TOKENIZER_FILES, Checkpoint
from ..refusal import Refusal
from .result import digest

IDLE_KEYS = frozenset(
    {
        "_name_or_path",
        "_commit_hash",
        "_attn_implementation_autoset",
        "transformers_version",
        "transformers.js_config",
        "unsloth_version",
        "unsloth_fixed",
    }
)
"""Keys of config.json, at any depth, that change nothing of what a scan computes."""
MAX_DEPTH = 16
"""Nesting of config.json up to which it is compared; no transformers config comes near."""


def content_of(checkpoint: Checkpoint) -> str | None:
    """The digest of an open checkpoint; None where the source does not state all that it needs (a folder)."""
    try:
        weights = {path: checkpoint.entries[path].sha256 for path in checkpoint.weight_files}
        found = {path: checkpoint.entries[path] for path in TOKENIZER_FILES if path in checkpoint.entries}
        tokenizer = {path: entry.sha256 or entry.git_oid for path, entry in found.items()}
        config = _plain(checkpoint.config)
    except (Refusal, RecursionError):
        return None
    if not checkpoint.exact or not weights or None in (*weights.values(), *tokenizer.values()):
        return None
    parts = {"weights": weights, "tokenizer": tokenizer, "config": config, "old": _is_old(checkpoint.config)}
    try:
        return digest(parts)
    except JsonError:
        return None


def _plain(value: Any, depth: int = 0) -> Any:
    """The config without the idle keys."""
    if depth > MAX_DEPTH:
        raise RecursionError
    if isinstance(value, dict):
        return {k: _plain(v, depth + 1) for k, v in value.items() if k not in IDLE_KEYS}
    return [_plain(v, depth + 1) for v in value] if isinstance(value, list) else value


def _is_old(config: dict[str, Any]) -> bool:
    """Whether it was written before transformers 5, which mends Mistral's tokenizers by that and nothing else."""
    written = config.get("transformers_version")
    return not (isinstance(written, str) and written.partition(".")[0].isdigit() and int(written.partition(".")[0]) > 4)
