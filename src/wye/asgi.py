"""The application for a process manager of your own: `uvicorn wye.asgi:app`. Reads configuration as `wye serve` does."""

from wye.wiring import create_app

app = create_app()
