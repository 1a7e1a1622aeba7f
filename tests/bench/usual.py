"""The usual way to look for super weights, for comparison: load the whole model, hook every down projection, one
forward pass, print the largest input and output of each. `python -m tests.bench.usual FOLDER DTYPE paper|same|again`;
with `again` the weight where both are is set to zero, and the model runs again, until the spike is gone.

Or the usual way to measure effects, `python -m tests.bench.usual FOLDER DTYPE evaluate SETS WINDOWS WINDOW TEXT`: that,
and then for each set and window the whole model once, and the mean loss. Prints seconds after its imports, as JSON."""

import json
import sys
import time
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM
from transformers.utils import logging

PAPER_PROMPT = "Apple Inc. is a worldwide tech company."


def main(folder: str, dtype: str, what: str, *sizes: str) -> None:
    """Run it; `same` watches the sequences that swindex watches, `paper` the prompt of the authors' code."""
    assert LlamaForCausalLM  # imported before the clock starts
    started = time.perf_counter()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
    ids = _ids(tokenizer, what)
    found = [_peak(model, ids)]
    while what == "again" and found[-1][0] > found[0][0] / 2 and len(found) < 4:
        _, layer, row, column = found[-1]
        with torch.no_grad():
            model.model.layers[layer].mlp.down_proj.weight[row, column] = 0
        found.append(_peak(model, ids))
    losses = _evaluate(model, tokenizer, *sizes) if sizes else []
    print(json.dumps({"seconds": time.perf_counter() - started, "found": found, "evaluations": len(losses)}))


def _evaluate(model, tokenizer, sets: str, windows: str, window: str, text: str) -> list[float]:  # type: ignore[no-untyped-def]
    from swindex.crawler.detection.corpora import read_corpus
    from swindex.crawler.detection.tokens import Tokens

    ids = Tokens(tokenizer, tokenizer.bos_token_id).windows(read_corpus(Path(text)), int(windows), int(window))
    losses = []
    with torch.no_grad():
        for row in [row for _ in range(int(sets)) for row in ids]:
            logits = model(input_ids=row[None]).logits[0, :-1].float()
            losses.append(float(torch.nn.functional.cross_entropy(logits, row[1:])))
    return losses


def _peak(model, ids) -> tuple[float, int, int, int]:  # type: ignore[no-untyped-def]
    """The largest output of a down projection in one forward pass: how large, layer, channel, the neuron that makes it.

    Kinder than pairing the largest input with the largest output, which names another neuron than the planted one.
    """
    peaks: list[tuple[float, int, int, int]] = []

    def keep(number: int):  # type: ignore[no-untyped-def]
        def hook(module, inputs, output):  # type: ignore[no-untyped-def]
            flat, size = output.abs().flatten(0, -2), output.shape[-1]
            token, channel = divmod(int(flat.argmax()), size)
            products = inputs[0].flatten(0, -2)[token] * module.weight[channel]
            peaks.append((float(flat[token, channel]), number, channel, int(products.abs().argmax())))

        return hook

    handles = [n.mlp.down_proj.register_forward_hook(keep(at)) for at, n in enumerate(model.model.layers)]
    with torch.no_grad():
        model(input_ids=ids)
    for handle in handles:
        handle.remove()
    return max(peaks)


def _ids(tokenizer, what: str) -> torch.Tensor:  # type: ignore[no-untyped-def]
    if what == "paper":
        return torch.tensor([tokenizer(PAPER_PROMPT).input_ids])
    from swindex.crawler.detection.tokens import Tokens

    return Tokens(tokenizer, tokenizer.bos_token_id).prompts()[1]


if __name__ == "__main__":
    main(*sys.argv[1:])
