"""The verdict on a pull request as a comment: states and codes in words of ours, what is a submitter's in code alone.

In an indented block nothing is markup and nobody is mentioned. Knows no Hub.
"""

from ...index.submissions.entry import Entry
from ...index.submissions.states import MEANING, PENDING, State

_WIDTH = 200


def mark_of(entry: Entry) -> str:
    """What marks the comment on one state of a submission; a reader does not see it."""
    return f"<!-- swindex {entry.id} {len(entry.steps)} -->"


def comment(entry: Entry) -> str:
    """The comment on where a submission stands."""
    pull, step = entry.sender.pull, entry.last
    at = f", commit `{pull.sha[:12]}` of this pull request" if pull else ""
    lines = [f"**{entry.state.value.replace('_', ' ').capitalize()}** (submission `{entry.id}`{at})", ""]
    lines += [f"    {s.code:<16} {_plain(s.message)}" for s in step.said]
    lines += [f"    {name:<16} {_plain(text)}" for name, text in _figures(entry)]
    lines += ["", f"{MEANING[entry.state].capitalize()}."]
    if entry.state not in PENDING:
        lines.append("This pull request is closed and never merged: the index is published by its curators.")
    return "\n".join(lines)


def _figures(entry: Entry) -> list[tuple[str, str]]:
    step, told = entry.last, []
    if step.why:
        told.append(("reason", step.why))
    if entry.state is State.ACCEPTED and "version" in step.figures:
        told.append(("version", f"{step.figures['version']} of {entry.model}, credited to {entry.sender.name}"))
        for weight, found in step.figures.get("confirmations", {}).items():
            ours = "our own scan" if found["ours"] else "no scan of ours"
            told.append((weight, f"{ours}, {len(found['submitters'])} submitters"))
    return told


def _plain(text: str) -> str:
    """The text on one line that no renderer takes for anything else."""
    line = "".join(c if " " <= c <= "~" and c not in "<>&@`" else "?" for c in " ".join(text.split()))
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 3]}..."
