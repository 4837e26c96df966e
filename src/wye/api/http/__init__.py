"""HTTP/1.1 towards callers: what uvicorn, which owns sockets, signals and lifespan, runs for each connection.

The same ASGI interface as that of uvicorn's own protocol at a fraction of its cost, with the limits a gateway needs.
https://www.rfc-editor.org/rfc/rfc9112 · https://asgi.readthedocs.io/en/latest/specs/www.html
"""
