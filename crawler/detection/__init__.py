"""The detector: one read of a checkpoint finds the weights, removes them, and measures what that does.

`DETECTION.md`'s algorithm in parts: `resident` (weights come and go), `lockstep` (many residual streams through one
layer), `massive` (which channels spike), `attribution` (which products explain it), `peel` (rounds), `effects` (what
removing does), `run` (all of it). LOG.md keeps the experiments.
"""
