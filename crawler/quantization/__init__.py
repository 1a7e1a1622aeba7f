"""The quantization of Yu et al. 2024 (arXiv 2411.07191, section 4), imitated: weights and activations are rounded to
what a grid of few bits can hold, and computed with in float32.

`rounding` (a matrix in blocks), `view` (a checkpoint whose weights are rounded as they are read), `holding` (which
scalars keep their value), `activations` (the inputs of matrix products), `variants` (what is compared), `compare` (all
of them through the layers in one read). REPORT.md has the figures on the trained checkpoints.
"""
