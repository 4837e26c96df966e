"""`file_ids` on a chat request: what the files hold reaches the model, in every dialect, and nothing else changes."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests import vendors, wire
from tests.vendors import VENDORS
from wye.testing.fake import FakeUpstream
from wye.testing.server import WyeServer

TURNS: list[Any] = [{"role": "user", "content": "How many?"}]
BLOCKS: list[Any] = [{"role": "user", "content": [{"text": "How many?"}]}]
ASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "openai_chat": ("/v1/chat/completions", {"model": "chat", "messages": TURNS, "max_completion_tokens": 9}),
    "openai_responses": ("/v1/responses", {"model": "chat", "input": "How many?"}),
    "openai_completions": ("/v1/completions", {"model": "chat", "prompt": "How many?"}),
    "anthropic_messages": ("/v1/messages", {"model": "chat", "max_tokens": 9, "messages": TURNS}),
    "bedrock_converse": ("/model/chat/converse", {"messages": BLOCKS}),
    "bedrock_claude": (
        "/model/chat/invoke",
        {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": TURNS},
    ),
    "bedrock_titan": ("/model/chat/invoke", {"inputText": "How many?"}),
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream(lambda r: VENDORS["openai_chat"].answers(bool(r.json().get("stream")))) as fake:
        yield fake


@pytest.fixture(scope="module")
def server(upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WyeServer]:
    home = str(tmp_path_factory.mktemp("home"))
    with WyeServer(vendors.config({"chat": (VENDORS["openai_chat"], upstream.url)}, home=home)) as server:
        yield server


def kept(server: WyeServer, name: str, content: bytes) -> str:
    form = wire.form(name, content)
    return json.loads(wire.call(server.url, "/v1/files", form.body, headers=form.headers)[2])["id"]


def heard(server: WyeServer, upstream: FakeUpstream, *ids: str, ask: str = "openai_chat") -> dict[str, Any]:
    path, body = ASKS[ask]
    status, _, said = wire.call(server.url, path, {**body, "file_ids": list(ids)})
    assert status == 200, said
    return upstream.requests[-1].json()


def text_of(request: dict[str, Any]) -> str:
    if "prompt" in request:
        return request["prompt"]
    content = request["messages"][-1]["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


@pytest.mark.parametrize("ask", ASKS)
def test_in_every_dialect_the_model_reads_the_files(server: WyeServer, upstream: FakeUpstream, ask: str) -> None:
    first, second = kept(server, "a.txt", b"There are nine."), kept(server, "b.md", b"# Ten")
    text = text_of(heard(server, upstream, first, second, ask=ask))
    assert text.startswith('<file name="a.txt" type="text/plain">\nThere are nine.\n</file>\n\n<file name="b.md"')
    assert text.endswith("# Ten\n</file>\n\nHow many?")


def test_what_the_request_says_beside_goes_through_as_it_came(server: WyeServer, upstream: FakeUpstream) -> None:
    turns = [{"role": "system", "content": "Be brief."}, {"role": "assistant", "content": "Yes?"}, *TURNS]
    body = {"model": "chat", "messages": turns, "max_completion_tokens": 9, "odd": {"kept": [1.50]}}
    body["file_ids"] = [kept(server, "a.txt", b"Nine.")]
    assert wire.call(server.url, "/v1/chat/completions", body)[0] == 200
    request = upstream.requests[-1].json()
    assert request["messages"][:2] == turns[:2]
    assert {**request, "messages": 0, "model": 0} == {
        "model": 0,
        "messages": 0,
        "max_completion_tokens": 9,
        "odd": {"kept": [1.50]},
    }


def test_results_of_tools_are_not_where_files_are_said(server: WyeServer, upstream: FakeUpstream) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    answered = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c", "content": "3"}]
    file = kept(server, "a.txt", b"Nine.")
    wire.call(
        server.url, "/v1/chat/completions", {"model": "chat", "messages": [*TURNS, *answered], "file_ids": [file]}
    )
    said = upstream.requests[-1].json()["messages"]
    assert [message["role"] for message in said] == ["user", "assistant", "tool"]
    assert said[0]["content"].endswith("How many?")
    wire.call(server.url, "/v1/chat/completions", {"model": "chat", "messages": answered, "file_ids": [file]})
    assert [message["role"] for message in upstream.requests[-1].json()["messages"]] == ["assistant", "tool", "user"]


def test_none_is_as_if_it_were_not_said(server: WyeServer, upstream: FakeUpstream) -> None:
    for none in ([], None):
        wire.call(server.url, "/v1/chat/completions", {"model": "chat", "messages": TURNS, "file_ids": none})
        assert set(upstream.requests[-1].json()) == {"model", "messages"}


TABLE = b"city;people\n" + b"".join(b"Hay %d;%d\n" % (i, i) for i in range(200))
PAGE = b"<html><head><title>T</title><script>x()</script></head><body><p>Nine &amp; ten</p></body></html>"


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("a.csv", TABLE, ["Columns: city, people", "Rows: 200, of which the first 50:", "Hay 49,49"]),
        ("a.json", b'{"a":[1,2],"b":{"c":null}}', ['{\n  "a": [\n    1,\n    2\n  ],', '"c": null']),
        ("cut.json", b'{"a":', ['{"a":']),
        ("a.jsonl", b'{"a":1}\n{"a":2}\n', ['{"a":1}\n{"a":2}']),
        ("a.html", PAGE, ["Nine & ten"]),
        ("a.xml", b"<a><b>Nine</b></a>", ["Nine"]),
        ("a.txt", "Größe".encode("utf-16"), ["Größe"]),
        ("b.txt", "Größe".encode("cp1252"), ["Größe"]),
        ("c.txt", b"x" * (1024 * 1024 - 1) + "ü".encode(), ["characters]"]),
        ("empty.csv", b"\n\n", ['type="text/csv">\n\n</file>']),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_kind_is_told_in_its_own_way(
    server: WyeServer, upstream: FakeUpstream, name: str, content: bytes, parts: list[str]
) -> None:
    text = text_of(heard(server, upstream, kept(server, name, content)))
    for part in parts:
        assert part in text
    assert f'<file name="{name}"' in text
    assert "x()" not in text
    assert "Hay 50" not in text


def test_a_pdf_is_told_by_its_pages(server: WyeServer, upstream: FakeUpstream) -> None:
    from reportlab.pdfgen.canvas import Canvas

    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    for page in ("The first.", "The second."):
        canvas.drawString(100, 700, page)
        canvas.showPage()
    canvas.save()
    text = text_of(heard(server, upstream, kept(server, "a.pdf", buffer.getvalue())))
    assert "[page 1]\nThe first." in text
    assert "[page 2]\nThe second." in text


def test_a_long_file_is_cut_and_that_is_said(server: WyeServer, upstream: FakeUpstream) -> None:
    long, short = kept(server, "a.txt", b"x" * 250_000), kept(server, "b.txt", b"y")
    text = text_of(heard(server, upstream, long, short))
    assert "x" * 200_000 + "\n[cut here: 50000 more characters]" in text
    assert "[cut here: 1 more characters]" in text


@pytest.mark.parametrize(
    ("ids", "status", "said"),
    [
        ("x", 400, "a list of ids"),
        ([1], 400, "a list of ids"),
        ([""], 400, "a list of ids"),
        (["x"] * 21, 400, "names 21 files; at most 20"),
        (["file-none"], 404, "No such File object: file-none"),
        (["a\0"], 404, "No such File object"),
    ],
)
def test_what_names_no_file_is_refused(server: WyeServer, ids: Any, status: int, said: str) -> None:
    body = {"model": "chat", "messages": TURNS, "file_ids": ids}
    found, _, answer = wire.call(server.url, "/v1/chat/completions", body)
    error = json.loads(answer)["error"]
    assert (found, said in error["message"]) == (status, True), answer
    assert error["param"].startswith("file_ids")


def test_a_kind_that_cannot_be_read_is_refused_with_those_that_can(server: WyeServer) -> None:
    file = kept(server, "a.png", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR")
    status, _, answer = wire.call(server.url, "/v1/messages", {**ASKS["anthropic_messages"][1], "file_ids": [file]})
    assert status == 415
    assert "'a.png' is image/png, which cannot be read. Supported are: pdf" in json.loads(answer)["error"]["message"]


def test_what_cannot_be_read_is_refused_with_the_reason(server: WyeServer) -> None:
    file = kept(server, "a.pdf", b"%PDF-1.7\nnothing")
    status, _, answer = wire.call(
        server.url, "/v1/chat/completions", {"messages": TURNS, "model": "chat", "file_ids": [file]}
    )
    assert status == 400
    assert "The file 'a.pdf' cannot be read: " in json.loads(answer)["error"]["message"]
