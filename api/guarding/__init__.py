"""Whether the super weights of a checkpoint are the recorded ones, and what a flipped bit would make of them.

`judging` compares one scalar, `flips` flips its bits, `ranges` says how far it may go; `files` looks at the weight
files of a checkpoint, `baseline` keeps digests of all that is in them. None of it needs torch but a baseline's digests
of casts. The same for a model that is loaded: `api.loaded`.
"""
