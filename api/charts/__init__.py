"""Charts of what is known: Vega-Lite specs made from documents of `view`, and drawn without a browser or a network.

`rows` turns a document into the data of a chart, `profile`, `effects` and `whole` into a spec, `drawing` into SVG or
PNG. Needs altair and vl-convert, of the extra `serve`; nothing outside this package imports either.
"""
