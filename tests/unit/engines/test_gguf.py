"""Headers written byte by byte: good ones, and those that a careless or hostile file would have."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest

from wye.engines.weights import read_header
from wye.kernel.errors import ConfigError

U32, STRING, ARRAY, U64, BOOL, F32 = 4, 8, 9, 10, 7, 6


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def key(name: str, kind: int, value: bytes) -> bytes:
    return text(name) + struct.pack("<I", kind) + value


def u32(name: str, value: int) -> bytes:
    return key(name, U32, struct.pack("<I", value))


def array(kind: int, count: int, items: bytes = b"") -> bytes:
    return struct.pack("<IQ", kind, count) + items


def header(*keys: bytes, version: int = 3, count: int | None = None, magic: bytes = b"GGUF") -> bytes:
    return magic + struct.pack("<IQQ", version, 0, len(keys) if count is None else count) + b"".join(keys)


TINY = (
    key("general.architecture", STRING, text("tiny")),
    key("general.name", STRING, text("Tiny é")),
    u32("tiny.context_length", 512),
    u32("tiny.block_count", 3),
    u32("tiny.embedding_length", 64),
    u32("tiny.attention.head_count", 8),
    u32("tiny.attention.head_count_kv", 2),
    key("tokenizer.tokens", ARRAY, array(STRING, 2, text("a") + text("bc"))),
    key("tokenizer.scores", ARRAY, array(F32, 2, bytes(8))),
    key("nested", ARRAY, array(ARRAY, 2, array(U32, 1, bytes(4)) + array(U64, 1, bytes(8)))),
    key("flag", BOOL, b"\1"),
    key("numbers.last", ARRAY, array(U64, 3, bytes(24))),
)


def read(tmp_path: Path, data: bytes):
    path = tmp_path / "model.gguf"
    path.write_bytes(data)
    return read_header(path)


@pytest.mark.parametrize("version", [2, 3])
def test_a_header_tells_what_a_model_costs(tmp_path: Path, version: int) -> None:
    found = read(tmp_path, header(*TINY, version=version) + b"tensors follow")
    assert (found.architecture, found.name) == ("tiny", "Tiny é")
    assert (found.context_length, found.block_count) == (512, 3)
    assert found.kv_width == 64 // 8 * 2
    assert found.kv_bytes(100) == 100 * 3 * 16 * 2 * 2, "keys and values, two bytes each"


def test_an_explicit_key_length_wins_over_the_embedding(tmp_path: Path) -> None:
    assert read(tmp_path, header(*TINY, u32("tiny.attention.key_length", 32))).kv_width == 32 * 2


def test_what_a_header_does_not_tell_has_a_default(tmp_path: Path) -> None:
    found = read(tmp_path, header())
    assert (found.architecture, found.name, found.context_length, found.kv_width) == ("", "model", 2048, 0)


def test_a_figure_that_is_none_or_zero_counts_as_untold(tmp_path: Path) -> None:
    odd = key("tiny.context_length", STRING, text("many"))
    found = read(tmp_path, header(TINY[0], odd, u32("tiny.block_count", 0)))
    assert (found.context_length, found.block_count) == (2048, 1)


def test_a_name_that_never_ends_is_shortened(tmp_path: Path) -> None:
    assert len(read(tmp_path, header(key("general.name", STRING, text("x" * 5000)))).name) == 200


@pytest.mark.parametrize("length", range(len(header(*TINY))))
def test_a_header_cut_at_any_byte_is_refused(tmp_path: Path, length: int) -> None:
    with pytest.raises(ConfigError, match="not a GGUF model file"):
        read(tmp_path, header(*TINY)[:length])


HOSTILE = {
    "another kind of file": (b"PK\3\4" + bytes(100), "does not begin with GGUF"),
    "empty": (b"", "does not begin with GGUF"),
    "the first version": (header(version=1), "version 1 is unknown"),
    "big-endian": (header(version=3 << 24), "version 50331648 is unknown"),
    "more keys than there are": (header(count=2**63), "claims 9223372036854775808 keys"),
    "a key of huge length": (header(struct.pack("<Q", 2**40)), "claims a text of 1099511627776 bytes"),
    "a text of huge length": (header(key("a", STRING, struct.pack("<Q", 2**62))), "claims a text of"),
    "an array of too many": (header(key("a", ARRAY, array(U32, 2**60))), "claims an array of"),
    "an array of texts, one huge": (header(key("a", ARRAY, array(STRING, 1, struct.pack("<Q", 2**50)))), "a text of"),
    "an array that goes on beyond the end": (header(key("a", ARRAY, array(U64, 1000))), "ends within"),
    "a text in an array that goes on beyond the end": (
        header(key("a", ARRAY, array(STRING, 1, struct.pack("<Q", 999)))),
        "ends within",
    ),
    "arrays in arrays in arrays": (header(key("a", ARRAY, array(ARRAY, 1) * 1000)), "5 deep"),
    "an unknown type": (header(key("a", 99, b"")), "value type 99 is unknown"),
    "an array of an unknown type": (header(key("a", ARRAY, array(99, 1))), "value type 99 is unknown"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_header_is_refused_at_once(tmp_path: Path, name: str) -> None:
    data, why = HOSTILE[name]
    began = time.process_time()
    with pytest.raises(ConfigError, match=why) as refused:
        read(tmp_path, data)
    assert time.process_time() - began < 1
    assert "model.gguf" in refused.value.message


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.gguf cannot be read: No such file"):
        read_header(tmp_path / "missing.gguf")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_header(tmp_path)
