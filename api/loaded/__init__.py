"""Super weights of a model that transformers has loaded: read, edited, masked, watched. Needs torch.

A record speaks of tensors on disk; `mapping` says where a scalar lies in the model, `holding` reads and writes it there
(on a device, or offloaded by accelerate), `proving` holds what stands there against the record before anything is
touched, `editing` changes and restores, `masking` is for pruning, `watching` for a model that runs.
"""
