"""Weights that are stored quantized, seen as float32: codes, scales and zero points become one tensor.

`config` says whether a checkpoint is; `methods` is the table from config.json's `quant_method` to formats; `scaled`,
`packed` (with `integers`) and `mxfp4` decode; `words` says which bytes hold a code; `view` shows a checkpoint so that
nothing behind it knows of quantization.
"""
