"""Figures 3, 4 and 5: spikes by layer, the super activation over the layers, the next token."""

from importlib import import_module
from typing import Any

from ..page import number
from . import conditions
from .shapes import DASH, Figure, Json, Section, Table, percent, plural, spelt

WITH, WITHOUT, OTHERS = "unmodified", "without the super weights", "without the largest other weights"


def chart(module: str, name: str, data: Any) -> Any:
    """What draws a chart of `charts`, which is loaded when it draws."""

    def draw(look: Any) -> Any:
        return getattr(import_module(f"swindex.api.charts.{module}"), name)(data, look)

    return draw


def spikes(document: Json) -> Section:
    """Figure 3."""
    profile = document["found"]["scan"]["profile"]
    known = [p for p in profile if p["activation_out"] is not None]
    peak = max(known, key=lambda p: p["activation_out"], default=None)
    said = "No layer has a down projection whose activations were seen."
    if peak is not None:
        said = (
            f"The largest activation out of a down projection is {number(peak['activation_out'])}, in layer "
            f"{peak['layer']}; the largest into that one is {number(peak['activation_in'])}."
        )
    figure = Figure(
        "spikes",
        "Largest absolute activation into and out of the down projection of each layer; the table has the numbers.",
        "The largest |activation| into and out of each down projection. Marked: layers with finds. "
        + conditions.of_prompts(document),
        chart("profile", "profile", document["found"]),
    )
    rows = tuple(
        (str(p["layer"]), *(number(p[n]) or DASH for n in ("activation_in", "activation_out", "residual")))
        for p in profile
    )
    table = Table("Largest |activation| by layer", ("layer", "into", "out of", "residual behind"), rows)
    notes = (conditions.of_model(document),)
    return Section("figure-3", "Spikes by layer (figure 3)", (said,), (figure,) if known else (), (table,), notes)


def activation(document: Json) -> Section:
    """Figure 4."""
    title = "The super activation over the layers (figure 4)"
    trace = document["trace"]
    if trace is None:
        return absent("figure-4", title, document, "activation")
    said = [_kept(channel) for channel in trace["channels"]]
    others = plural(trace["others"], "other weight")
    said.append(f"Beside it: the model without {others}, the largest of each layer from the first find on.")
    figures = tuple(_carried(channel, trace) for channel in trace["channels"])
    tables = tuple(_values(channel) for channel in trace["channels"])
    notes = (
        "Others are removed as in table 1; where they feed the neuron of a super weight, its activation goes too.",
        conditions.of_prompts(document) + " " + conditions.of_model(document),
    )
    return Section("figure-4", title, tuple(said), figures, tables, notes)


def _kept(channel: Json) -> str:
    with_it = _peak(channel["unmodified"])
    if with_it is None or not with_it:
        return f"Channel {channel['channel']}: no value was seen."
    without = _peak(channel["removed"])
    left = "is not finite" if without is None else f"reaches {number(abs(without))} ({percent(abs(without / with_it))})"
    return f"Channel {channel['channel']} reaches {number(abs(with_it))}; without the super weights it {left}."


def _peak(values: list[float | None]) -> float | None:
    return max((v for v in values if v is not None), key=abs, default=None)


def _carried(channel: Json, trace: Json) -> Figure:
    series = ((WITH, "unmodified"), (WITHOUT, "removed"), (OTHERS, "others_removed"))
    rows = [
        {"series": name, "x": layer, "y": value}
        for name, field in series
        for layer, value in zip(channel["layers"], channel[field], strict=False)
    ]
    alt = f"Channel {channel['channel']} behind each layer, with and without the super weights; see the table."
    caption = (
        f"Channel {channel['channel']} of the residual behind each layer, at the token where it is largest, of "
        f"{trace['tokens_watched']:,} watched tokens."
    )
    return Figure(f"channel-{channel['channel']}", alt, caption, chart("studies", "carried", rows))


def _values(channel: Json) -> Table:
    columns = [channel[name] for name in ("unmodified", "removed", "others_removed")]
    rows = tuple(
        (str(layer), *(number(v) if v is not None else "not finite" for v in values))
        for layer, *values in zip(channel["layers"], *columns, strict=True)
    )
    return Table(f"Channel {channel['channel']} behind each layer", ("layer", WITH, WITHOUT, OTHERS), rows)


def tokens(document: Json) -> Section:
    """Figure 5."""
    title = "The next token (figure 5)"
    trace = document["trace"]
    if trace is None:
        return absent("figure-5", title, document, "tokens")
    best = {name: max(trace["next"], key=lambda t: t[name] or 0.0) for name in ("before", "after")}
    before, after = best["before"], best["after"]
    said = f"Behind “{trace['prompt']}” the model says {spelt(before['text'])} ({percent(before['before'])})"
    if after["after"] is None:
        said += "; without the super weights no probability is finite."
    else:
        said += f", without the super weights {spelt(after['text'])} ({percent(after['after'])})."
    start = "behind <s>" if trace["prompt_bos"] else "without <s>"
    mean_on = conditions.of_text(trace["mean_on"])
    parts = (
        ("next", f"Behind “{trace['prompt']}”, {start}.", "next"),
        ("mean", f"In the mean over all positions. {mean_on}", "mean"),
    )
    figures = tuple(_probabilities(trace[field], name, caption) for name, caption, field in parts)
    tables = tuple(_listed(trace[field], caption) for _, caption, field in parts)
    return Section("figure-5", title, (said,), figures, tables, (conditions.of_model(document),))


def _probabilities(shown: list[Json], name: str, caption: str) -> Figure:
    rows = [
        {"x": _name(token), "series": series, "y": token[field]}
        for series, field in ((WITH, "before"), (WITHOUT, "after"))
        for token in shown
    ]
    alt = "Probabilities of next tokens with and without the super weights; the table has the numbers."
    return Figure(
        f"tokens-{name}",
        alt,
        f"The most likely next tokens of either model. {caption}",
        chart("studies", "tokens", rows),
    )


def _name(token: Json) -> str:
    """A token and its id: two tokens may look alike."""
    return f"{spelt(token['text'])} {token['id']}"


def _listed(shown: list[Json], caption: str) -> Table:
    rows = tuple((spelt(t["text"]), str(t["id"]), percent(t["before"]), percent(t["after"])) for t in shown)
    return Table(caption, ("token", "id", WITH, WITHOUT), rows)


def absent(anchor: str, title: str, document: Json, part: str) -> Section:
    """A part that could not be measured."""
    reason = document["left_out"].get(part, "not measured")
    return Section(anchor, title, (f"Not measured: {reason}.",))
