"""What the proof of `prove` cannot know: a few names. A data table, not code."""

ASIDE = ("per_layer", "altup")
"""Parts of names of parameters that feed side inputs into the residual behind the feed-forward (Gemma 3n, Gemma 4):
they are no down projections, and what they read does not make the feed-forward one less."""

DOWN_NAMES = ("down_proj", "fc2", "fc_out", "dense_4h_to_h", "c_proj", "w2", "wo", "output_linear")
"""Leaf names under which families keep down projections. Only used to refuse a layer in which one was not proven."""

MIXERS = ("attn", "attention", "mamba", "conv", "temporal", "rwkv", "recurrent", "norm", "router", "gate.", "vision")
"""Parts of names under which the same leaf names mean something else."""
