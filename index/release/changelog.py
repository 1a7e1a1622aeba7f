"""CHANGELOG.md: what a release brings, from the news. Knows Markdown, not where it is put."""

from collections.abc import Callable, Iterator, Sequence

from .news import Change, News

MOST = 500
"""Models that a section lists; all of them are in `changes/`."""

_SECTIONS: tuple[tuple[str, str, Callable[[Change], str]], ...] = (
    ("new", "New models", lambda c: c.now.outcome),
    (
        "other_outcome",
        "Models with another outcome",
        lambda c: f"{c.before.outcome if c.before else ''} -> {c.now.outcome}",
    ),
    ("withdrawn", "Models withdrawn", lambda c: f"was {c.before.outcome}" if c.before else c.now.outcome),
    ("restored", "Models that count again", lambda c: c.now.outcome),
    ("same_outcome", "Models with new versions and the same outcome", lambda c: c.now.outcome),
)


def changelog(found: News, released: str, seq: int, models: int, lost: int) -> str:
    """The text for a release up to change `seq`, which holds so many models."""
    return "\n".join([*_head(found, released, seq, models, lost), *_lists(found), ""])


def _head(found: News, released: str, seq: int, models: int, lost: int) -> Iterator[str]:
    since = found.base.seq if found.base else 0
    last = f"the release that ended with change {since}" if found.base else "an empty index"
    yield from (
        "# Changelog",
        "",
        f"Release of {released}, against {last}. It ends with change {seq} and holds {models} models.",
        "",
    )
    yield from ("| What | Models |", "|---|---:|")
    yield from (f"| {title} | {len(getattr(found, name))} |" for name, title, _ in _SECTIONS)
    yield f"| Of these, models that lost all their super weights | {lost} |"
    if not found.changes:
        yield from ("", "Nothing changed.")


def _lists(found: News) -> Iterator[str]:
    for name, title, words in _SECTIONS:
        changes: Sequence[Change] = getattr(found, name)
        if changes:
            yield from ("", f"## {title}", "")
            yield from (f"- `{c.now.model_id}`: {words(c)}" for c in changes[:MOST])
        if len(changes) > MOST:
            yield f"- and {len(changes) - MOST} more, see `changes/`"
