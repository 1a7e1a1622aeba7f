"""`swindex card`: what the owner of a model can paste into its card. The text is made in `model_card`."""

import sys

from ..client import Client
from ..main import print_json, write
from ..model_card import block, markdown, metadata
from ..putting import put_text
from .options import Force, Json, ModelId, Offline, Out, ReadIndex


def card(
    model: ModelId,
    out: Out = None,
    force: Force = False,
    index: ReadIndex = None,
    offline: Offline = False,
    json: Json = False,
) -> int:
    """Print metadata and a table for a model's card.

    YAML that the Hub reads, to go between the `---` of README.md, and Markdown to go below. Says what is measured, what
    is reported by others, and what was looked for and not found."""
    document = Client(index, offline=offline).lookup(model).model_dump(mode="json")
    if json:
        print_json({"model": model, "metadata": metadata(document), "markdown": markdown(document)})
    elif out is None:
        write(block(document), sys.stdout)
    if out is not None:
        put_text(block(document), out, force)
    return 0
