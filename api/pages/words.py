"""Words for what documents say: sizes, commits, versions, descriptions. Standard library only."""

from typing import Any

from ..changes import Change
from ..commands.history import lines

Json = dict[str, Any]


def commit(revision: str | None) -> str | None:
    """The first digits of a commit."""
    return revision[:12] if revision else None


def parameters(count: int | None) -> str | None:
    """A number of parameters, with its unit."""
    if not count:
        return None
    unit, name = next((u, n) for u, n in ((10**9, " B"), (10**6, " M"), (1, "")) if count >= u)
    return f"{count / unit:.3g}{name}" if name else f"{count:,}"


def versions(changes: list[Change]) -> list[Json]:
    """The versions of a record, newest first, with what each changed in words."""
    told = ("version", "time", "submitter", "digest", "outcome")
    return [{**{name: getattr(c, name) for name in told}, "lines": lines(c)} for c in reversed(changes)]


def described(document: Json) -> str:
    """A model's page in a sentence, for those who see only that."""
    model, weights = document["model"]["id"], document["super_weights"]
    standing = [w for w in weights if w["location"] != "refuted"]
    if not standing:
        none = "a scan found no super weight" if document["outcome"] == "none_found" else "no super weight is on record"
        return f"{model}: {none}. What sources say and what was measured."
    scalars = "1 super weight" if len(standing) == 1 else f"{len(standing)} super weights"
    inherited = " of its base model" if document["inherited_from"] else ""
    what = "coordinates, verdicts and whose figures they rest on, effects, sources"
    return f"{model}: {scalars}{inherited} on record: {what}."
