"""The usual way to look for super weights, for comparison: load the whole model, hook every down projection, one
forward pass, print the largest input and output of each. `python -m tests.bench.usual FOLDER DTYPE paper|same`."""

import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

PAPER_PROMPT = "Apple Inc. is a worldwide tech company."


def main(folder: str, dtype: str, prompt: str) -> None:
    """Run it; `same` watches the sequences that swindex watches, `paper` the prompt of the authors' code."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
    peaks: dict[int, tuple[float, float]] = {}
    for number, layer in enumerate(model.model.layers):
        layer.mlp.down_proj.register_forward_hook(_keep(peaks, number))
    with torch.no_grad():
        model(input_ids=_ids(tokenizer, prompt))
    print(max((after, number) for number, (_, after) in peaks.items()))


def _keep(peaks: dict[int, tuple[float, float]], number: int):  # type: ignore[no-untyped-def]
    def hook(_module, inputs, output):  # type: ignore[no-untyped-def]
        peaks[number] = (float(inputs[0].abs().max()), float(output.abs().max()))

    return hook


def _ids(tokenizer, prompt: str) -> torch.Tensor:  # type: ignore[no-untyped-def]
    if prompt == "paper":
        return torch.tensor([tokenizer(PAPER_PROMPT).input_ids])
    from swindex.crawler.detection.corpora import Tokens

    return Tokens(tokenizer, tokenizer.bos_token_id).prompts()[1]


if __name__ == "__main__":
    main(*sys.argv[1:])
