"""The child process: reads one file, then ends."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import msgspec

from wye.knowledge.parse.office import by_docx, by_pptx, by_xlsx
from wye.knowledge.parse.pdf import by_pdfium, by_pypdf
from wye.knowledge.parse.piece import Piece, Reader, Refused, Said
from wye.knowledge.parse.text import by_csv, by_html, by_json, by_markdown, by_text, by_xml
from wye.processes.inside import Work, answer_frames, limit_memory

_OFFICE = "application/vnd.openxmlformats-officedocument."
READERS: dict[str, tuple[Reader, ...]] = {
    "application/pdf": (by_pdfium, by_pypdf),
    f"{_OFFICE}wordprocessingml.document": (by_docx,),
    f"{_OFFICE}presentationml.presentation": (by_pptx,),
    f"{_OFFICE}spreadsheetml.sheet": (by_xlsx,),
    "text/html": (by_html,),
    "text/markdown": (by_markdown,),
    "text/csv": (by_csv,),
    "application/json": (by_json,),
    "application/x-ndjson": (by_text,),
    "application/xml": (by_xml,),
    "text/plain": (by_text,),
}
"""Each kind's readers, in the order they are tried."""


class Job(msgspec.Struct, frozen=True):
    path: str
    content_type: str
    reader: int
    """Which of READERS."""
    memory_bytes: int
    max_characters: int


def main() -> None:
    answer_frames(_open)


def _open(first: bytes) -> Work:
    job = msgspec.msgpack.decode(first, type=Job)
    limit_memory(job.memory_bytes)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash leaves no file
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # nothing has to be written

    def read(_: bytes) -> Iterator[bytes]:
        for said in read_file(job):
            yield msgspec.msgpack.encode(said)

    return read


def read_file(job: Job) -> Iterator[Said]:
    """Until all is said, or too much."""
    characters = 0
    for said in READERS[job.content_type][job.reader](Path(job.path)):
        if isinstance(said, Piece):
            characters += len(said.text)
            if characters > job.max_characters:
                yield Refused(f"It holds more than {job.max_characters:,} characters of text. Split it.")
                return
        yield said
