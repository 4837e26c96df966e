"""The header of a GGUF file: what a model needs, read without loading it.

https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from wye.kernel.errors import ConfigError

_FORMS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_SCALARS = {kind: struct.Struct(form) for kind, form in _FORMS.items()}
_U32, _U64 = _SCALARS[4], _SCALARS[10]
_STRING, _ARRAY = 8, 9
_MAX_KEYS = 10_000
_MAX_NAME = 4096
_MAX_STRING = 4 * 1024 * 1024
_MAX_ITEMS = 4_000_000
_MAX_DEPTH = 4
_MAX_TITLE = 200
_CUT = "it ends within its header"


class GgufHeader(msgspec.Struct, frozen=True):
    """The few facts of a header that decide what a model costs."""

    architecture: str
    name: str
    context_length: int
    block_count: int
    kv_width: int
    """Elements of one layer's keys (and as many of its values) per token."""

    def kv_bytes(self, tokens: int) -> int:
        """Memory of the key-value cache for so many tokens, at 16 bits an element."""
        return 2 * 2 * self.block_count * self.kv_width * tokens


def read_header(path: Path) -> GgufHeader:
    """Raises ConfigError when the file is no GGUF model, in words for the operator."""
    try:
        with path.open("rb") as file:
            facts = _read_facts(file)
    except OSError as error:
        raise ConfigError(f"The model file {path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise ConfigError(f"{path} is not a GGUF model file: {error}") from None
    architecture = str(facts.get("general.architecture", ""))

    def number(name: str, default: int) -> int:
        value = facts.get(f"{architecture}.{name}")
        return value if isinstance(value, int) and value > 0 else default

    heads = number("attention.head_count", 1)
    per_head = number("attention.key_length", number("embedding_length", 0) // heads)
    return GgufHeader(
        architecture,
        str(facts.get("general.name", path.stem))[:_MAX_TITLE],
        number("context_length", 2048),
        number("block_count", 1),
        per_head * number("attention.head_count_kv", heads),
    )


def _read_facts(file: BinaryIO) -> dict[str, Any]:
    """The keys of a header and their values, None for arrays. Raises ValueError for anything but a whole header."""
    if file.read(4) != b"GGUF":
        raise ValueError("it does not begin with GGUF")
    version, _, count = struct.unpack("<IQQ", _exactly(file, 20))
    if version not in (2, 3):
        raise ValueError(f"version {version} is unknown")
    if count > _MAX_KEYS:
        raise ValueError(f"it claims {count} keys")
    facts: dict[str, Any] = {}
    for _ in range(count):
        name = _text(file, _MAX_NAME)
        facts[name] = _value(file, _unpack(file, _U32))
    # Arrays are passed over by seeking, which goes beyond a file's end without complaint.
    if file.tell() > file.seek(0, io.SEEK_END):
        raise ValueError(_CUT)
    return facts


def _value(file: BinaryIO, kind: int) -> Any:
    if kind in _SCALARS:
        return _unpack(file, _SCALARS[kind])
    if kind == _STRING:
        return _text(file, _MAX_STRING)
    if kind == _ARRAY:
        return _skip_array(file, 1)
    raise ValueError(f"value type {kind} is unknown")


def _skip_array(file: BinaryIO, depth: int) -> None:
    kind, count = _unpack(file, _U32), _unpack(file, _U64)
    if count > _MAX_ITEMS or depth > _MAX_DEPTH:
        raise ValueError(f"it claims an array of {count} items, {depth} deep")
    if kind in _SCALARS:
        file.seek(_SCALARS[kind].size * count, io.SEEK_CUR)
    elif kind == _STRING:
        for _ in range(count):
            file.seek(_size(file, _MAX_STRING), io.SEEK_CUR)
    elif kind == _ARRAY:
        for _ in range(count):
            _skip_array(file, depth + 1)
    else:
        raise ValueError(f"value type {kind} is unknown")


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise ValueError(_CUT)
    return data


def _unpack(file: BinaryIO, form: struct.Struct) -> Any:
    return form.unpack(_exactly(file, form.size))[0]


def _size(file: BinaryIO, limit: int) -> int:
    size = _unpack(file, _U64)
    if size > limit:
        raise ValueError(f"it claims a text of {size} bytes")
    return size


def _text(file: BinaryIO, limit: int) -> str:
    return _exactly(file, _size(file, limit)).decode("utf-8", "replace")
