"""An index that somebody else publishes: a release directory, read from a folder, a web server or the Hub.

Loads nothing by itself: `fetch` gets bytes, `site` reads an index out of them, `seen` remembers what was read before.
"""
