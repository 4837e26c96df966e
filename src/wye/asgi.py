"""The application for a process manager of your own: `uvicorn wye.asgi:app`. Configured as `wye serve` is."""

from wye.wiring import create_app

app = create_app()
