"""Recipes: a quantizer's own configuration that keeps what holds super weights at high precision.

`kept` chooses the tensors, `names` says what each tool calls them, `tools` is the table of tools with a writer each in
`writers`, `cost` counts bits, `transforms` recognises a checkpoint in which the coordinates no longer hold, `recipe`
joins them. Nothing here imports a quantizer: what was tried with the real ones stands in TOOLS.md.
"""
