"""From a config to an empty transformers model, its layers, its down projections, and where their tensors are on disk.

`resolve` names the class or refuses; `skeleton` builds it without weights; `placement` maps stored tensors to
parameters; `sites` finds the down projections of a layer.
"""
