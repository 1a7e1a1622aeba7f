"""Checks of what was submitted: nothing in it is believed, all of it is compared with the checkpoint at its commit.

`judge` runs the checks in their order; each is a module that gives findings (`index.submissions.codes`). Loads torch
only where our own scan is made, and that in a process apart.
"""
