"""A conversation at the terminal: its settings, its messages, and the file it can be kept in."""

from __future__ import annotations

from pathlib import Path

import msgspec

from wye.kernel.errors import ConfigError
from wye.kernel.json import JsonObject, encode

_NUMBERS = {"temperature": float, "max_tokens": int}


class Turn(msgspec.Struct):
    role: str
    content: str


class Conversation(msgspec.Struct):
    """What `/save` writes and `/load` reads, as JSON."""

    model: str | None = None
    """None until one is chosen."""
    system: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    turns: list[Turn] = msgspec.field(default_factory=list[Turn])

    def request(self, question: str, stream: bool) -> JsonObject:
        """The next call, in OpenAI's dialect."""
        said = [Turn("system", self.system)] if self.system else []
        body: JsonObject = {"messages": [*said, *self.turns, Turn("user", question)], "stream": stream}
        settings = {"model": self.model, "temperature": self.temperature, "max_tokens": self.max_tokens}
        body |= {name: value for name, value in settings.items() if value is not None}
        return body | ({"stream_options": {"include_usage": True}} if stream else {})

    def set(self, name: str, text: str) -> None:
        """Change a setting to what somebody typed; nothing typed takes it back. Raises ConfigError."""
        if name not in _NUMBERS:
            raise ConfigError(f"There is no setting {name!r}: {' or '.join(_NUMBERS)}")
        try:
            setattr(self, name, _NUMBERS[name](text) if text else None)
        except ValueError:
            raise ConfigError(f"{name} is a number, not {text!r}") from None

    def save(self, file: Path) -> None:
        """Raises ConfigError."""
        try:
            file.write_bytes(msgspec.json.format(encode(self)) + b"\n")
        except OSError as error:
            raise ConfigError(f"{file} cannot be written: {error.strerror}") from None


def load_conversation(file: Path) -> Conversation:
    """Raises ConfigError."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Conversation)
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} holds no saved conversation: {error}") from None
