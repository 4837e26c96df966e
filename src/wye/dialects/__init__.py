"""Wire formats. One folder each, the same file names in each: `request`, `response`, `stream`, `errors`.

A dialect knows two directions and serves both sides: it decodes requests and encodes answers when it is the client's
language, encodes requests and decodes answers when it is the upstream's. Nothing here does I/O or awaits.
"""
