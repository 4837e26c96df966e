"""How long a PDF takes to be read, and a question to be answered: `python -m benchmarks.documents [--pages 1000]`.

A server of its own with the models in the box and SQLite; the question is answered by a fake upstream at once, so that
its time is that of finding passages and telling the answer.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import tempfile
import time
from typing import Any
from urllib.request import Request, urlopen

from reportlab.pdfgen import canvas
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from wye.testing.fake import FakeUpstream, event_stream
from wye.testing.server import WyeServer

TEXT = "the pump of the main line is checked each spring before water flows to houses on the hill and down again"
WORDS = TEXT.split()
LINES = 40
ASKED = 10
LONGEST_S = 1800
DELTA = {"index": 0, "delta": {"content": "Yes [1]."}, "finish_reason": "stop"}
ANSWER = [b"data: %b\n\n" % json.dumps({"id": "c", "choices": [DELTA]}).encode(), b"data: [DONE]\n\n"]


def pdf(pages: int) -> bytes:
    out = io.BytesIO()
    drawing = canvas.Canvas(out)
    for page in range(1, pages + 1):
        for line in range(LINES):
            words = " ".join(WORDS[(page * 7 + line * 3 + i) % len(WORDS)] for i in range(14))
            drawing.drawString(40, 800 - 18 * line, f"{page}.{line} {words}")
        drawing.showPage()
    drawing.save()
    return out.getvalue()


def call(url: str, data: bytes | None = None, content_type: str = "application/json") -> bytes:
    with urlopen(Request(url, data, {"content-type": content_type}), timeout=600) as answer:
        return answer.read()


def upload(url: str, content: bytes) -> dict[str, Any]:
    head = b'--x\r\ncontent-disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n'
    form = head + content + b"\r\n--x--\r\n"
    return json.loads(call(f"{url}/api/v1/upload", form, "multipart/form-data; boundary=x"))


def measure(url: str, pages: int, console: Console) -> Table:
    content = pdf(pages)
    table = Table("what", "figure", title=f"A PDF of {pages} pages, {len(content) / 1e6:.1f} MB")
    began_s = time.perf_counter()
    document = upload(url, content)["document_id"]
    table.add_row("taken in", f"{time.perf_counter() - began_s:.2f} s")
    extracted_s = None
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("read", total=100)
        while True:
            known = json.loads(call(f"{url}/api/v1/documents/{document}"))
            progress.update(task, completed=known["progress"])
            if extracted_s is None and known["progress"] >= 40:
                extracted_s = time.perf_counter() - began_s
            if known["status"] in ("ready", "failed"):
                break
            if time.perf_counter() - began_s > LONGEST_S:
                raise SystemExit(f"Not read within {LONGEST_S} s: {known}")
            time.sleep(0.1)
    took_s = time.perf_counter() - began_s
    assert known["status"] == "ready", known
    table.add_row("its text extracted", f"{extracted_s or took_s:.1f} s")
    table.add_row("ready to be asked", f"{took_s:.1f} s, {pages / took_s:.1f} pages a second")
    times: list[float] = []
    for number in range(ASKED):
        asked = {"question": f"When is the pump of line {number} checked?", "document_id": document}
        began_s = time.perf_counter()
        call(f"{url}/api/v1/ask", json.dumps(asked).encode())
        times.append(time.perf_counter() - began_s)
    table.add_row("a question, the first", f"{times[0]:.2f} s")
    table.add_row(f"a question, median of the next {ASKED - 1}", f"{statistics.median(times[1:]):.2f} s")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.documents", description=__doc__)
    parser.add_argument("--pages", type=int, default=1000)
    pages = parser.parse_args().pages
    console = Console()
    with FakeUpstream(lambda _: event_stream(ANSWER)) as upstream, tempfile.TemporaryDirectory() as home:
        config = {
            "home": home,
            "local": {"preload": []},
            "providers": {"up": {"kind": "openai", "base_url": f"{upstream.url}/v1", "api_key": "k"}},
            "routes": {"m": {"deployments": [{"provider": "up", "model": "up", "api": "chat"}]}},
            "documents": {"answer_model": "m"},
        }
        with WyeServer(config) as server:
            console.print(measure(server.url, pages, console))


if __name__ == "__main__":
    main()
