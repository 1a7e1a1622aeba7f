"""Weights stored as pickles, converted on request: `child` is the process that opens them, `view` shows the result."""
