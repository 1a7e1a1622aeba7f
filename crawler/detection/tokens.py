"""Token windows: what the detector watches and what effects are measured on.

A window is `<s>` (where the tokenizer emits one) and so many tokens; windows do not overlap and are taken from the
start of the text.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..refusal import Refusal, failed
from .corpora import Corpus
from .tokencache import digest_of_files, kept

# Delimiters, newlines, a repeated first word and a tail: spikes stand on the first token and on such tokens.
PROMPT = (
    "Apple Inc. is a worldwide tech company. Apple was founded in 1976; its home is California.\n\n"
    'Summer is hot. Winter is cold.\n"Where do the birds go?" asked Lily. Nobody knew - not the old man, not the dog, '
    "nor the river that ran down to the sea."
)
MAX_PROMPT = 64
"""Tokens of the prompt watched at most: within every sliding window; 128 took half as long again (LOG.md)."""
SCREEN = 8
"""Tokens of the sequence that a screen runs; it watches the first."""
CHARACTERS = 16
"""Characters of a text that are tokenized for each token wanted, at first: a whole book takes time and memory."""
STOPWORDS = ("the", ".", ",", "and", "of", "to", "a", "in", "\n")


@dataclass(frozen=True)
class Tokens:
    """What a tokenizer makes of texts, and whether it begins them with `<s>`."""

    tokenizer: Any
    bos: int | None
    digest: str | None = None
    """sha256 over the tokenizer's files; without it nothing is kept."""

    def ids(self, text: str) -> list[int]:
        """Token ids without special tokens."""
        return list(self.tokenizer(text, add_special_tokens=False, verbose=False).input_ids)

    def windows(self, corpus: Corpus, windows: int, window: int) -> Tensor:
        """Token ids (windows, window), int64, each window beginning with `<s>` where the tokenizer emits it."""
        if self.digest is None or not corpus.shipped:
            return torch.tensor(self._windows(corpus, windows, window))
        sizes = {"windows": windows, "window": window, "bos": self.bos}
        key = {"tokenizer": self.digest, "text": corpus.sha256, **sizes}
        return torch.tensor(kept(key, lambda: self._windows(corpus, windows, window), len(self.tokenizer)))

    def _windows(self, corpus: Corpus, windows: int, window: int) -> list[list[int]]:
        start = [] if self.bos is None else [self.bos]
        step = window - len(start)
        ids = self.ids(corpus.text[: step * windows * CHARACTERS])
        if len(ids) < step * windows:
            ids = self.ids(corpus.text)
        count = min(windows, len(ids) // step)
        if count < 1:
            raise failed(
                f"text {corpus.name}: {len(ids)} tokens are fewer than one window of {step}; use a longer text"
            )
        return [start + ids[n * step : (n + 1) * step] for n in range(count)]

    def prompts(self, text: str = PROMPT, longest: int = MAX_PROMPT) -> tuple[list[str], Tensor]:
        """Names and token ids (B, T) of the watched sequences: with `<s>` where the tokenizer emits it, and without."""
        ids = self.ids(text)[:longest]
        if not ids:
            raise failed("the prompt gives no token with this tokenizer; use --prompt TEXT")
        if self.bos is None:
            return ["without <s>"], torch.tensor([ids])
        return ["with <s>", "without <s>"], torch.tensor([[self.bos, *ids[:-1]], ids])

    def screen(self, vocabulary: int) -> Tensor:
        """Token ids (1, SCREEN): the first is `<s>`, or the prompt's first where the tokenizer emits none.

        With causal attention what is computed at the first position depends on that token alone. The others are any
        tokens that differ: the proof of the architecture needs some, and they are not watched.
        """
        first = self.bos if self.bos is not None else self.ids(PROMPT)[0]
        return torch.tensor([[first, *(n * vocabulary // SCREEN for n in range(1, SCREEN))]])

    def kind(self, position: int, token: int) -> tuple[str | None, str]:
        """The text of a token and its class: bos, first, newline, delimiter, special or word."""
        if self.tokenizer is None:
            return None, "bos" if token == self.bos else "first"
        text = str(self.tokenizer.decode([token]))
        if position == 0:
            return text, "bos" if token == self.bos else "first"
        if token in (self.tokenizer.all_special_ids or []):
            return text, "special"
        if "\n" in text:
            return text, "newline"
        return text, "word" if any(ch.isalnum() for ch in text) else "delimiter"

    def stopwords(self) -> Tensor:
        """Ids of the single tokens that stand for the stop words, with and without a leading space."""
        found = [self.ids(form) for word in STOPWORDS for form in (word, " " + word)]
        return torch.tensor(sorted({ids[-1] for ids in found if len(ids) in (1, 2)}) or [0])


def load_tokenizer(folder: Path, place: str) -> Tokens:
    """The tokenizer in a folder that holds no code; raise a Refusal if there is none."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    # AutoTokenizer rebuilds some tokenizers (Qwen2's) from their class, without the pipeline tokenizer.json states.
    kind = PreTrainedTokenizerFast if (folder / "tokenizer.json").exists() else AutoTokenizer
    try:
        tokenizer = kind.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        bos, digest = _emitted_bos(tokenizer), digest_of_files(folder)
    except Exception as error:
        raise failed(f"{place}: no usable tokenizer ({type(error).__name__}: {str(error)[:200]})") from None
    return Tokens(tokenizer, bos, digest)


def start_only(folder: Path, place: str, bos: Any) -> Tokens:
    """What a screen needs: the tokenizer, or without a usable one just the `<s>` that the config names."""
    try:
        return load_tokenizer(folder, place)
    except Refusal:
        if not isinstance(bos, int):
            raise
        return Tokens(None, bos)


def _emitted_bos(tokenizer: Any) -> int | None:
    """The token that the tokenizer really puts in front of a text: what its configuration says is not always so."""
    emitted, plain = tokenizer("x").input_ids, tokenizer("x", add_special_tokens=False).input_ids
    return int(emitted[0]) if len(emitted) > len(plain) and emitted[:1] != plain[:1] else None
