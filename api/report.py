"""What a person sees of a document of `view`: one page of text. Standard library only.

Says whose figures they are and what is not known; decides nothing. `--json` has everything, this has what matters.
"""

from datetime import date
from typing import Any

from .compared import rows, sentence
from .decided import sentences
from .page import WIDTH, Page, number
from .paste import short
from .tables import Caveats, coordinates, effects

Json = dict[str, Any]

OUTCOMES = {
    "reported": "Reported by outside sources; not scanned by swindex.",
    "found": "Scanned by swindex: super weights found.",
    "none_found": "Scanned by swindex: no super weight found.",
    "untested": "Scanned by swindex, without a conclusion: not everything was looked at or measured.",
    "gated": "Not scanned: the repository is gated.",
    "not_found": "Not scanned: the model or the revision is not on the Hub.",
    "needs_remote_code": "Not scanned: the model needs code from its repository, which swindex never runs.",
    "unsupported_architecture": "Not scanned: the architecture is not supported.",
    "unsafe_format": "Not scanned: there are no safetensors, and pickles are not read.",
    "corrupt": "Not scanned: the weight files are damaged.",
    "too_large": "Not scanned: too large.",
    "failed": "Not scanned: the scan failed.",
    "inherited": "Not scanned: only its base model's super weights were looked for here.",
    "unknown": "Not in the index: nothing is known of this model itself.",
}
CONFLICTS = {
    "layer": "the same row and column is claimed in different layers",
    "location": "sources differ on whether it is there",
    "effect": "sources differ on what removing it alone does",
    "value": "sources differ on its value",
}
_MOST = 12
"""Statements and notes that are printed; --json has all."""
_STANCES = ("denies", "claims", "notes")
"""Statements are printed in this order."""


def report(document: Json, width: int = WIDTH, colour: bool = False, today: date | None = None) -> str:
    """The page for one document, as text that ends with a newline."""
    page = Page(width, colour)
    fill(page, document, today)
    return str(page)


def fill(page: Page, document: Json, today: date | None = None) -> None:
    """Put on a page, of whatever kind, what a person sees of a document."""
    caveats = Caveats()
    _title(page, document)
    _outcome(page, document)
    for warning in (*warnings(document), *stale(document["index"], today or date.today())):
        page.text(f"! {warning}", "yellow", hang="  ")
    coordinates(page, document)
    effects(page, document, caveats)
    _compared(page, document)
    _conflicts(page, document)
    _listed(page, "What curators decided", [sentences(d) for d in document["decisions"]])
    _statements(page, document, caveats)
    _listed(page, "Caveats", [f"[{at}] {text}" for at, text in enumerate(caveats.texts, 1)])
    _listed(page, "Notes", [_note(n, document) for n in document["notes"]])
    _listed(page, "Sources", [_source(s) for s in document["sources"]])
    _age(page, document, today or date.today())


# --- head ---


def _title(page: Page, document: Json) -> None:
    model = document["model"]
    page.text(model["id"], "bold")
    page.text(f"commit {model['revision']}" if model["revision"] else "no commit", "dim")
    facts = [model["architecture"], model["dtype"], _size(model["parameters"])]
    facts += [f"{model['layers']} layers"] if model["layers"] else []
    facts += [f"{model['relation'] or 'derived'} of {model['base_model']}"] if model["base_model"] else []
    page.text(", ".join(f for f in facts if f), "dim")


def _outcome(page: Page, document: Json) -> None:
    page.lines.append("")
    outcome, scan = document["outcome"], document["scan"]
    page.text(OUTCOMES.get(outcome, f"Outcome: {outcome}."), "bold")
    if scan and scan["reason"]:
        page.text(f"Reason: {scan['reason']}", indent="  ")
    if scan:
        page.text(", ".join([scan["detector"], scan["time"][:10], *_covered(scan)]), "dim", indent="  ")
    if scan and scan["shared_from"]:
        origin = scan["shared_from"]
        at = f"{origin['model_id']} at commit {origin['revision'][:12]}"
        page.text(f"Scanned in {at}, whose files are identical; nothing was measured here.", indent="  ")
    for survival in document["survivals"]:
        page.text(sentence(survival), indent="  ", hang="  ")
    if not document["super_weights"] and outcome != "none_found":
        page.text("No super weight is on record; that does not mean that there is none.")


def _covered(scan: Json) -> list[str]:
    """How much of the model was looked at, where a scan was made."""
    if not scan["layers_covered"]:
        return []
    layers = f"{scan['layers_covered']} of {scan['layers'] or '?'} layers covered"
    return [layers, f"{scan['experts_covered'] or 0} of {scan['experts']} experts"] if scan["experts"] else [layers]


_UNPINNED = {
    True: "a folder was scanned; verify tells whether another copy has the same bits.",
    False: "no source says which; compare the values before you use them.",
}


def warnings(document: Json) -> list[str]:
    """What a reader must know before using the coordinates, most serious first."""
    record, base, weights, scan = (document[k] for k in ("record", "inherited_from", "super_weights", "scan"))
    found = []
    if record and record["withdrawn"]:
        found.append(f"WITHDRAWN on {record['withdrawn']['time'][:10]}: {record['withdrawn']['reason']}")
    if base:
        at = f" at commit {base['revision'][:12]}" if base["revision"] else ""
        checked = (base["id"], base["revision"]) in {(s["base"], s["base_revision"]) for s in document["survivals"]}
        how = "their bits were compared here, their effect was not" if checked else "not checked here"
        found.append(f"INHERITED from {base['id']}{at}: the weights below are of the base model, {how}.")
    if weights and not (base or document["model"])["revision"]:
        found.append(f"Not pinned to a commit: {_UNPINNED[any(w['bits'] for w in weights)]}")
    if weights and not any(w["bits"] for w in weights):
        found.append("Values are the sources' own: swindex has not read the checkpoint.")
    if scan and scan["layers"] and 0 < scan["layers_covered"] < scan["layers"]:
        found.append("Only a part of the layers was covered.")
    if document["index"]["as_of"]:
        found.append(f"AS OF {document['index']['as_of']}: what the index said then; it may say more now.")
    if document["index"]["torn"]:
        found.append("The log of this model ends in a half-written version, which is left out.")
    return found


STALE = {"crawl": 30, "time": 180}
"""Days after which a reader is told that the last crawl, or where there was none the newest record, is old."""


def stale(index: Json, today: date) -> list[str]:
    """That the index was not asked now, that nobody looked at the Hub for long, or the last crawl did not end well."""
    crawl, found = index["crawl"], []
    if index.get("checked"):
        asked = _dated(index["checked"], today)
        found.append(f"NOT ASKED now: this is what {index['source']} held when it was last asked, on {asked}.")
    what, last = ("crawl", crawl["ended"]) if crawl else ("time", index["time"])
    if last and (_days(last, today) or 0) > STALE[what]:
        name = "last crawl into" if crawl else "newest record of"
        found.append(f"OLD: the {name} this index is of {_dated(last, today)}; newer models and commits are not in it.")
    if crawl and crawl["stopped"]:
        found.append(f"The last crawl stopped early: {crawl['stopped']}.")
    return found


def _size(parameters: int | None) -> str | None:
    if parameters is None:
        return None
    unit, name = (10**9, "B") if parameters >= 10**9 else (10**6, "M")
    return f"{parameters / unit:.3g} {name} parameters"


# --- disagreement, statements, sources ---


def _named(document: Json) -> dict[str, str]:
    return {w["id"]: short(w) for w in document["super_weights"]}


def _conflicts(page: Page, document: Json) -> None:
    named = _named(document)
    _listed(page, "Where sources disagree", [_conflict(c, named) for c in document["conflicts"]])


def _conflict(conflict: Json, named: dict[str, str]) -> str:
    weights = ", ".join(named.get(w, w) for w in conflict["weights"])
    sides, settled = "; ".join(conflict["sides"]), conflict["settled"]
    end = f". Settled by {settled['by']}, {settled['time'][:10]}: {settled['reason']}" if settled else ""
    if conflict["kind"] == "set":
        return f"Incomplete set: {sides}: {weights}{end}."
    return f"{weights}: {CONFLICTS.get(conflict['kind'], conflict['kind'])}: {sides}{end}."


def _compared(page: Page, document: Json) -> None:
    for survival in document["survivals"]:
        told = [f"{weight}: {state}: {text}" for weight, state, text in rows(survival)]
        _listed(page, f"What is not as in {survival['base']}", told)


def _statements(page: Page, document: Json, caveats: Caveats) -> None:
    ordered = sorted(document["observations"], key=lambda o: _STANCES.index(o["stance"]))
    said = dict.fromkeys(_statement(o, caveats) for o in ordered[:_MOST])
    _listed(page, "What sources also say", list(said), len(ordered) - _MOST)


def _statement(observation: Json, caveats: Caveats) -> str:
    about = ", ".join(short(t) for t in observation["targets"]) or f"the {observation['granularity']}"
    if len(observation["targets"]) > 3:
        about = f"{len(observation['targets'])} places"
    said = ": ".join(t for t in (observation["statement"], _perplexity(observation)) if t)
    return f"{observation['origin']} {observation['stance']} ({about}): {said}{caveats.mark(observation['caveat'])}"


def _perplexity(figures: Json) -> str | None:
    if figures["finite"] is False:
        return "perplexity not finite"
    if figures["ppl_before"] and figures["ppl_after"]:
        return f"perplexity {number(figures['ppl_before'])} -> {number(figures['ppl_after'])}"
    return f"perplexity x{number(figures['ppl_ratio'])}" if figures["ppl_ratio"] else None


def _note(note: Json, document: Json) -> str:
    named = _named(document)
    about = f"{named.get(note['about'][0], note['about'][0])}: " if len(note["about"]) == 1 else ""
    return f"{about}{note['text']}"


def _source(source: Json) -> str:
    return ", ".join(t for t in (f"{source['origin']}: {source['title']}", source["url"]) if t)


def _listed(page: Page, title: str, texts: list[str], left_out: int = 0) -> None:
    """A heading and its points, none for no points; long lists are cut and say so."""
    if texts:
        page.heading(title)
    for text in texts[:_MOST]:
        page.text(text if text.startswith("[") else f"- {text}", hang="  ")
    left_out = max(left_out, len(texts) - _MOST)
    if left_out > 0:
        page.text(f"... and {left_out} more: --json", "dim")


# --- age ---


def _age(page: Page, document: Json, today: date) -> None:
    record, base = document["record"], document["inherited_from"]
    page.lines.append("")
    if record:
        page.text(f"Record version {record['version']} of {_dated(record['time'], today)}.", "dim")
    if base:
        page.text(f"{base['id']}: version {base['version']} of {_dated(base['time'], today)}.", "dim")
    for line in _freshness(document["index"], today):
        page.text(line, "dim")


def _freshness(index: Json, today: date) -> list[str]:
    """Which index was asked, and how fresh it is."""
    source, crawl = index["source"], index["crawl"]
    released = f", released {_dated(index['released'], today)}" if index["released"] else ""
    newest = f"Newest record of this index: {_dated(index['time'], today)}." if index["time"] else None
    crawled = f"Last crawl: {_dated(crawl['ended'], today)}." if crawl else None
    return [line for line in (f"From {source}{released}." if source else None, newest, crawled) if line]


def _days(time: str, today: date) -> int | None:
    """How long ago that was; None if it is no time."""
    try:
        return (today - date.fromisoformat(time[:10])).days
    except ValueError:
        return None


def _dated(time: str, today: date) -> str:
    days = _days(time, today)
    if days is None:
        return time
    ago = "today" if days <= 0 else "yesterday" if days == 1 else f"{days} days ago"
    return f"{time[:10]} ({ago})"
