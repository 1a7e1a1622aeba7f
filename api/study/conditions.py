"""What every figure rests on, in words: text, tokens, windows, dtype, commit, detector."""

from .shapes import Json, plural


def of_model(document: Json) -> str:
    """Commit, arithmetic, detector: what all figures of a study share."""
    revision = document["record"]["model"]["revision"]
    commit = f"commit {revision}" if revision else "a folder without a commit"
    where = f"{document['compute_dtype']} on {document['device']}"
    return f"{document['record']['model']['id']}, {commit}; computed in {where}; {document['detector']}."


def of_text(text: Json) -> str:
    """A text of a trace or of rounding."""
    start = "each beginning with <s>" if text["bos"] else "without <s>"
    windows = f"{plural(text['windows'], 'window')} of {text['window']:,} tokens, {start}"
    return f"Text {text['name']} (sha256 {text['sha256'][:12]}), {windows}, {text['tokens']:,} predicted tokens."


def of_effects(document: Json) -> str:
    """The texts of the scan's effects; nothing where there are none."""
    seen = {(c["name"], c["bos"]): c for e in document["record"]["effects"] for c in [e["corpus"]]}
    return " ".join(of_text(c) for c in seen.values())


def of_prompts(document: Json) -> str:
    """The watched prompts."""
    prompts = document["record"]["scans"][-1]["settings"]["prompts"]
    told = [f"{p['name']}, {plural(len(p['token_ids']), 'token')}" for p in prompts]
    return f"Watched prompts of the detector: {'; '.join(told)}." if told else ""
