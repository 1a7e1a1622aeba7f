"""What strangers submit, in quarantine: documents that are kept and not believed, their states, and who may submit.

`states` is the machine, `codes` what a check can find, `store` the folder that both are kept in. What a check does is
in `crawler.judging`; nothing here reads a checkpoint, asks the Hub or writes to an index.
"""
