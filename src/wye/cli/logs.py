"""What the log looks like: lines for people, or objects for programs."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from wye.kernel.json import encode_text


def set_up(level: str, form: str) -> None:
    """To standard error. `form` is `text` or `json`."""
    stream = logging.StreamHandler()
    stream.setFormatter(JsonLines() if form == "json" else logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[stream])
    if level == "info":  # what these libraries tell there, nobody who runs a server wants to know
        for name in ("alembic", "procrastinate", "psycopg"):
            logging.getLogger(name).setLevel(logging.WARNING)


class JsonLines(logging.Formatter):
    """One object a line: `time` (UTC), `level`, `logger`, `message`; `call` and `exception` where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (call := getattr(record, "call", None)) is not None:
            line["call"] = call
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return encode_text(line)
