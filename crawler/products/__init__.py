"""Float32 products with weights that are stored in bfloat16, on processors that multiply bfloat16 in hardware.

`split` is the arithmetic, `narrow` the weight that stays as it is stored and looks like float32. Knows nothing of
models.
"""
