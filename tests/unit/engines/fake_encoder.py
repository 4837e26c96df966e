"""Stands for an encoder's process: what its model's path says decides how it behaves."""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Iterator
from pathlib import Path

import msgspec

from wye.engines.onnx.child import Ask, EncoderSettings, Read
from wye.processes.inside import Work, answer_frames


def main() -> None:
    answer_frames(_open)


def _open(first: bytes) -> Work:
    settings = msgspec.msgpack.decode(first, type=EncoderSettings)
    with Path(settings.model_path).open("a") as starts:
        starts.write(f"{os.getpid()}\n")
    if "broken" in settings.model_path:
        raise ValueError("the file is cut short")
    if "slow" in settings.model_path:
        time.sleep(60)

    def answer(message: bytes) -> Iterator[bytes]:
        ask = msgspec.msgpack.decode(message, type=Ask)
        if ask.text == "wait":
            while not Path(f"{settings.model_path}.go").exists():
                time.sleep(0.005)
        if ask.text == "hang":
            time.sleep(60)
        if ask.text == "crash":
            os._exit(7)
        words = len(f"{ask.text} {ask.passage or ''}".split())
        numbers = array("f", [words, 0.5] if ask.passage is None else [words])
        yield msgspec.msgpack.encode(Read(words, numbers.tobytes() if words <= settings.context_length else b""))

    return answer
