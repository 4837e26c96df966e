"""A file's text, read in a child process that is killed when it takes too long or too much."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import msgspec

from wye.knowledge.parse.child import READERS, Job
from wye.knowledge.parse.piece import End, Piece, Refused, Said
from wye.ports.jobs import GiveUp
from wye.ports.reading import Extracted, PageText, Progress
from wye.processes.child import Child, ChildEnded

CHILD = "wye.knowledge.parse.child:main"
START_S = 30.0
PIECE_S = 30.0
"""How long one page may take."""
FILE_S = 900.0
MEMORY_BYTES = 1024**3
"""What a reader may take; 1,000 pages of text need 60 MB."""
MAX_CHARACTERS = 20_000_000
_EXCEPTION = re.compile(r"^\w+(\.\w+)*: ")
"""The name of a Python exception before its message, which is all that people want to know."""
_said: msgspec.msgpack.Decoder[Said] = msgspec.msgpack.Decoder(Said)


class Unreadable(Exception):
    """One reader failed; the text says why, for people."""


async def extract(path: Path, content_type: str, progress: Progress) -> Extracted:
    """Raises GiveUp with the reason."""
    readers = READERS.get(content_type)
    if readers is None:
        raise GiveUp(f"It is {content_type}, which cannot be read.")
    reason = ""
    for reader in range(len(readers)):
        job = Job(str(path), content_type, reader, MEMORY_BYTES, MAX_CHARACTERS)
        try:
            return await _read(job, progress)
        except Unreadable as error:
            reason = reason or str(error)
    raise GiveUp(reason)


async def _read(job: Job, progress: Progress) -> Extracted:
    child = Child(CHILD)
    parts: list[PageText] = []
    at = "it"
    took_s = START_S
    whole = asyncio.timeout(FILE_S)
    try:
        async with whole, asyncio.timeout(START_S) as step:
            await child.start(msgspec.msgpack.encode(job))
            async for frame in child.ask(b"read"):
                took_s = PIECE_S
                step.reschedule(asyncio.get_running_loop().time() + PIECE_S)
                match _said.decode(frame):
                    case Piece(text=text, number=number, heading=heading, share=share):
                        if text.strip():
                            parts.append(PageText(text, number, heading))
                        at = f"the part after page {number}" if number else "it"
                        await progress(share)
                    case End(pages=pages, notes=notes):
                        return Extracted(parts, pages, notes)
                    case Refused(reason=reason, for_all=True):
                        raise GiveUp(reason)
                    case Refused(reason=reason):
                        raise Unreadable(reason)
        raise AssertionError("a reader ends with End or Refused")
    except TimeoutError:
        at, took_s = ("it", FILE_S) if whole.expired() else (at, took_s)
        raise Unreadable(f"Reading {at} took more than {took_s:g} s, and was stopped.") from None
    except ChildEnded as error:
        raise Unreadable(_words(str(error))) from None
    finally:
        await child.kill()


def _words(why: str) -> str:
    if "MemoryError" in why or "bad_alloc" in why:
        return f"Reading it took more than {MEMORY_BYTES // 1024**2} MB of memory, and was stopped."
    if why.startswith("signal"):
        return f"It is damaged, or made to do harm: its reader crashed ({why.partition(':')[0]})."
    said = _EXCEPTION.sub("", why.partition(": ")[2])
    return f"It is damaged: {said[:300].rstrip('.')}."
