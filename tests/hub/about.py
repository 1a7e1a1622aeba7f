"""What the Hub says about a repository, field by field, derived from its files and its overrides.

Reads config.json, the headers of safetensors files and the YAML head of README.md. An override in
`Repository.meta` wins over what the files say. A file that cannot be parsed says nothing here: that the bytes
are served is enough. Knows nothing of HTTP; which fields an answer carries is decided by the tables at the
end.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, cast
from weakref import WeakKeyDictionary

import yaml  # type: ignore[import-untyped]

from .blobs import Blob, is_lfs
from .repos import Commit, Repository

HEADER_CAP = 100_000_000
"""Longest safetensors header (bytes) that is looked at."""

PIPELINES = {"ForCausalLM": "text-generation", "LMHeadModel": "text-generation", "ForMaskedLM": "fill-mask"}
"""Ending of an architecture's name to the pipeline tag."""

_card_cache: WeakKeyDictionary[Commit, dict[str, Any]] = WeakKeyDictionary()
_safetensors_cache: WeakKeyDictionary[Commit, dict[str, Any]] = WeakKeyDictionary()


def read_json(blob: Blob | None) -> dict[str, Any]:
    """Return a JSON object, or {} where there is none."""
    try:
        value = json.loads(blob.read()) if blob else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def safetensors_header(blob: Blob) -> dict[str, Any]:
    """Return the header of a safetensors file, or {} if it has none that parses."""
    length = int.from_bytes(blob.read(0, 8), "little")
    if length > min(HEADER_CAP, blob.size):
        return {}
    try:
        header = json.loads(blob.read(8, 8 + length))
    except ValueError:
        return {}
    return header if isinstance(header, dict) else {}


def front_matter(text: str) -> str:
    """Return the YAML head of a card, without its fences."""
    parts = text.split("---\n", 2)
    return parts[1] if len(parts) == 3 and not parts[0].strip() else ""


def card(commit: Commit) -> dict[str, Any]:
    """Return the parsed YAML head of README.md."""
    if commit not in _card_cache:
        readme = commit.tree.get("README.md")
        _card_cache[commit] = _card(readme) if readme else {}
    return _card_cache[commit]


def parse_card(text: str) -> dict[str, Any]:
    """Parse the YAML head of a card; raise ValueError if it is no YAML."""
    try:
        value = yaml.safe_load(front_matter(text.replace("\r\n", "\n")))
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    return value if isinstance(value, dict) else {}


def _card(readme: Blob) -> dict[str, Any]:
    try:
        return parse_card(readme.read().decode(errors="replace"))
    except ValueError:
        return {}


def _safetensors(repo: Repository, commit: Commit) -> dict[str, Any] | None:
    if commit not in _safetensors_cache:
        shards = [blob for path, blob in commit.tree.items() if path.endswith(".safetensors") and "/" not in path]
        parameters = _count(entry for blob in shards for entry in safetensors_header(blob).items())
        _safetensors_cache[commit] = {"parameters": parameters, "total": sum(parameters.values())}
    return _safetensors_cache[commit] if _safetensors_cache[commit]["parameters"] else None


def _count(entries: Iterable[tuple[str, Any]]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for name, entry in entries:
        if name == "__metadata__":
            continue
        try:
            counts[str(entry["dtype"])] += math.prod(entry["shape"])
        except (KeyError, TypeError):
            return {}
    return dict(counts)


def _config(repo: Repository, commit: Commit) -> dict[str, Any] | None:
    whole = read_json(commit.tree.get("config.json"))
    kept = ("architectures", "model_type", "quantization_config", "auto_map")
    return {key: whole[key] for key in kept if key in whole} or None


def _library(repo: Repository, commit: Commit) -> str | None:
    named = card(commit).get("library_name")
    return str(named) if named else ("transformers" if "config.json" in commit.tree else None)


def _pipeline(repo: Repository, commit: Commit) -> str | None:
    if "pipeline_tag" in card(commit):
        return str(card(commit)["pipeline_tag"])
    architectures = (_config(repo, commit) or {}).get("architectures") or [""]
    return next((tag for end, tag in PIPELINES.items() if str(architectures[0]).endswith(end)), None)


def _strings(value: object) -> list[str]:
    return [str(item) for item in (value if isinstance(value, list) else [value] if value else [])]


def _bases(repo: Repository, commit: Commit) -> tuple[list[str], str | None]:
    said = {**card(commit), **repo.meta}
    relation = said.get("base_model_relation")
    return _strings(said.get("base_model")), str(relation) if relation else None


def _base_models(repo: Repository, commit: Commit) -> dict[str, Any] | None:
    bases, relation = _bases(repo, commit)
    return (
        {"relation": relation or "finetune", "models": [{"_id": base, "id": base} for base in bases]} if bases else None
    )


def _tags(repo: Repository, commit: Commit) -> list[str]:
    bases, relation = _bases(repo, commit)
    tags = [
        get(repo, commit, "library_name"),
        "safetensors" if any(path.endswith(".safetensors") for path in commit.tree) else None,
        (get(repo, commit, "config") or {}).get("model_type"),
        get(repo, commit, "pipeline_tag"),
        *_strings(card(commit).get("tags")),
        *(f"base_model:{base}" for base in bases),
        *(f"base_model:{relation}:{base}" for base in bases if relation),
        *(f"license:{name}" for name in _strings(card(commit).get("license"))),
        "region:us",
    ]
    return list(dict.fromkeys(tag for tag in tags if tag))


def _siblings(repo: Repository, commit: Commit) -> list[dict[str, Any]]:
    return [{"rfilename": path} for path in sorted(commit.tree)]


def blobs(commit: Commit) -> list[dict[str, Any]]:
    """Return the siblings with sizes and digests, as `?blobs=true` gives them."""
    return [{"rfilename": path, **_sibling(path, blob)} for path, blob in sorted(commit.tree.items())]


def _sibling(path: str, blob: Blob) -> dict[str, Any]:
    if not is_lfs(path, blob):
        return {"size": blob.size, "blobId": blob.git_oid}
    lfs = {"sha256": blob.sha256, "size": blob.size, "pointerSize": blob.pointer.size}
    return {"size": blob.size, "blobId": blob.pointer.git_oid, "lfs": lfs}


Field = Callable[[Repository, Commit], Any]

FIELDS: dict[str, Field] = {
    "author": lambda repo, commit: repo.id.partition("/")[0] if "/" in repo.id else None,
    "baseModels": _base_models,
    "cardData": lambda repo, commit: card(commit) or None,
    "childrenModelCount": lambda repo, commit: 0,
    "config": _config,
    "createdAt": lambda repo, commit: repo.commits[0].date,
    "description": lambda repo, commit: None,
    "disabled": lambda repo, commit: False,
    "downloads": lambda repo, commit: 0,
    "downloadsAllTime": lambda repo, commit: 0,
    "evalResults": lambda repo, commit: None,
    "gated": lambda repo, commit: False,
    "gguf": lambda repo, commit: None,
    "inference": lambda repo, commit: None,
    "inferenceProviderMapping": lambda repo, commit: None,
    "lastModified": lambda repo, commit: commit.date,
    "library_name": _library,
    "likes": lambda repo, commit: 0,
    "mask_token": lambda repo, commit: None,
    "model-index": lambda repo, commit: None,
    "pipeline_tag": _pipeline,
    "private": lambda repo, commit: False,
    "resourceGroup": lambda repo, commit: None,
    "safetensors": _safetensors,
    "sha": lambda repo, commit: commit.sha,
    "siblings": _siblings,
    "spaces": lambda repo, commit: [],
    "tags": _tags,
    "transformersInfo": lambda repo, commit: None,
    "trendingScore": lambda repo, commit: 0,
    "usedStorage": lambda repo, commit: sum(blob.size for blob in commit.tree.values()),
    "widgetData": lambda repo, commit: None,
}
"""Every field that `expand` may name, to how it follows from the files."""

SHORT = ("likes", "private", "downloads", "tags", "pipeline_tag", "library_name", "createdAt")
"""Fields of a listed repository when nothing is asked for."""

FULL = (*SHORT, "author", "sha", "lastModified", "gated", "siblings")
"""Fields of a listed repository with `full=true`."""

INFO = (*FULL, "disabled", "config", "cardData", "spaces", "safetensors", "usedStorage", "baseModels")
"""Fields of one repository's own page."""


def get(repo: Repository, commit: Commit, name: str) -> Any:
    """Return one field: the override if there is one, else what the files say."""
    return repo.meta[name] if name in repo.meta else FIELDS[name](repo, commit)


def document(repo: Repository, commit: Commit, names: Iterable[str]) -> dict[str, Any]:
    """Return the JSON of a repository with these fields; empty optional ones are left out, as on the Hub."""
    found = {name: get(repo, commit, name) for name in names}
    kept = {name: value for name, value in found.items() if value is not None}
    return {"_id": repo.id, "id": repo.id, **({"modelId": repo.id} if repo.kind == "models" else {}), **kept}


def total_parameters(repo: Repository) -> int | None:
    """Return the number of parameters at the head of `main`, or None if no safetensors file tells."""
    found = get(repo, repo.head, "safetensors")
    return cast(int, found["total"]) if found else None
