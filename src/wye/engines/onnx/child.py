"""The child process: one encoder, one text at a time.

A process of its own, since the tokenizer holds Python's lock: 3 MB of text would stop the server's loop for 2 seconds.
One text at a time, since the models are quantised dynamically: beside a longer text, whose padding joins its batch, the
same text has another vector (cosine 0.993).
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any, Literal

import msgspec

from wye.processes.inside import Work, answer_frames, limit_memory


class EncoderSettings(msgspec.Struct, frozen=True):
    """What the parent decides."""

    model_path: str
    tokenizer_path: str
    kind: Literal["embedding", "reranker"]
    context_length: int
    threads: int
    memory_bytes: int


class Ask(msgspec.Struct, frozen=True):
    text: str
    passage: str | None = None
    """For a reranker: `text` is the question."""


class Read(msgspec.Struct, frozen=True):
    tokens: int
    numbers: bytes
    """float32, in the machine's order; none when the text has more tokens than the model can hold."""


def main() -> None:
    answer_frames(_open)


def _open(first: bytes) -> Work:
    settings = msgspec.msgpack.decode(first, type=EncoderSettings)
    limit_memory(settings.memory_bytes)
    encoder = _Encoder(settings)

    def answer(message: bytes) -> Iterator[bytes]:
        yield msgspec.msgpack.encode(encoder.read(msgspec.msgpack.decode(message, type=Ask)))

    encoder.read(Ask("warm", "up"))  # the first run sets up what the others find
    return answer


class _Encoder:
    def __init__(self, settings: EncoderSettings) -> None:
        # Optional extras, loaded in this process only.
        onnxruntime, tokenizers, self._numpy = (import_module(n) for n in ("onnxruntime", "tokenizers", "numpy"))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = settings.threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session: Any = onnxruntime.InferenceSession(
            settings.model_path, options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer: Any = tokenizers.Tokenizer.from_file(settings.tokenizer_path)
        self._tokenizer.no_padding()
        self._pairs = settings.kind == "reranker"
        self._context_length = settings.context_length
        if self._pairs:
            self._tokenizer.enable_truncation(settings.context_length)
        else:
            self._tokenizer.no_truncation()

    def read(self, ask: Ask) -> Read:
        encoding = self._tokenizer.encode(ask.text, ask.passage if self._pairs else None)
        tokens = len(encoding.ids)
        if tokens > self._context_length:
            return Read(tokens, b"")
        members = (
            ("input_ids", encoding.ids),
            ("attention_mask", encoding.attention_mask),
            ("token_type_ids", encoding.type_ids),
        )
        numpy = self._numpy
        (output,) = self._session.run(None, {name: numpy.array([ids], dtype=numpy.int64) for name, ids in members})
        # Of an embedding: the first token's vector (CLS), as the model was trained, at length 1.
        numbers = output[0] if self._pairs else output[0, 0] / numpy.linalg.norm(output[0, 0])
        return Read(tokens, numbers.astype(numpy.float32).tobytes())
