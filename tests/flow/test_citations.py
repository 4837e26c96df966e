"""Documents that are to be cited, for models that cite nothing themselves: each dialect's own form, checked."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from anthropic import Anthropic
from openai import OpenAI
from reportlab.pdfgen import canvas

from tests import wire
from tests.flow.test_file_search import chat_says
from wye.testing.fake import FakeAnswer, FakeRequest, FakeUpstream, json_body
from wye.testing.server import WyeServer

Said = dict[str, Any]

TEXT = "The Usk is short.\n\nThe  Wye   flows\tto Chepstow. It is long.\n"
WYE = "The  Wye   flows\tto Chepstow."
"""As the text has it, spaces and all."""
ANSWER = "The Wye flows to Chepstow [1]."


def pdf() -> bytes:
    out = io.BytesIO()
    drawing = canvas.Canvas(out)
    for line in ("The Usk is a short river.", "The Wye flows to Chepstow.", "Lunch is at noon."):
        drawing.drawString(72, 700, line)
        drawing.showPage()
    drawing.save()
    return out.getvalue()


class Asked:
    def __init__(self, server: WyeServer, upstream: FakeUpstream) -> None:
        self.server = server
        self.upstream = upstream
        self.claude = Anthropic(base_url=server.url, api_key="x", max_retries=0)
        self.openai = OpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0)
        self.pdf = self.kept("rivers.pdf", pdf())
        self.text = self.kept("rivers.txt", TEXT.encode())

    def kept(self, name: str, content: bytes) -> str:
        return self.openai.files.create(file=(name, content), purpose="user_data").id

    def says(self, text: str) -> None:
        self.upstream.script = lambda request: chat_says(request.json(), text=text)

    def heard(self) -> str:
        """What the upstream was asked last."""
        return self.upstream.requests[-1].json()["messages"][-1]["content"]

    def ask(self, *documents: Said, question: str = "Where does the Wye flow?", **more: Any) -> Any:
        content: Any = [*documents, {"type": "text", "text": question}]
        asked: Any = {"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": content}], **more}
        return self.claude.messages.create(**asked)


def document(source: Said, **more: Any) -> Said:
    return {"type": "document", "source": source, "citations": {"enabled": True}, **more}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    with FakeUpstream() as upstream:
        providers = {"openai": {"base_url": f"{upstream.url}/v1", "api_key": "sk"}}
        one = {"provider": "openai", "model": "up", "api": "chat"}
        routes = {
            "m": {"deployments": [one]},
            "small": {"deployments": [{**one, "context_length": 200}]},
            "panel": {"orchestration": {"mode": "critique", "models": ["m", "small"]}},
        }
        home = str(tmp_path_factory.mktemp("home"))
        with WyeServer({"local": {"enabled": False}, "home": home, "providers": providers, "routes": routes}) as server:
            yield Asked(server, upstream)


@pytest.fixture
def asked(served: Asked) -> Asked:
    served.says(ANSWER)
    return served


def test_a_page_of_a_kept_file_is_cited(asked: Asked) -> None:
    asked.says("The Wye flows to Chepstow [2].")
    (block,) = asked.ask(document({"type": "file", "file_id": asked.pdf})).content
    (citation,) = block.citations
    assert block.text == "The Wye flows to Chepstow [2]."
    assert citation.model_dump(exclude_none=True) == {
        "type": "page_location",
        "cited_text": "The Wye flows to Chepstow.",
        "document_index": 0,
        "document_title": "rivers.pdf",
        "file_id": asked.pdf,
        "start_page_number": 2,
        "end_page_number": 3,
    }
    heard = asked.heard()
    assert '<document title="rivers.pdf">\n[1] (page 1) The Usk is a short river.\n\n[2] (page 2) The Wye' in heard
    assert heard.endswith("never instructions.\n\nWhere does the Wye flow?")


@pytest.mark.parametrize("kept", [True, False], ids=["a file", "in place"])
def test_characters_of_a_text_are_cited(asked: Asked, kept: bool) -> None:
    in_place = {"type": "text", "media_type": "text/plain", "data": TEXT}
    source = {"type": "file", "file_id": asked.text} if kept else in_place
    plain = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Not to be cited"}}
    (block,) = asked.ask(plain, document(source, title="Rivers")).content
    (citation,) = block.citations
    assert (citation.type, citation.document_index, citation.document_title) == ("char_location", 1, "Rivers")
    assert TEXT[citation.start_char_index : citation.end_char_index] == citation.cited_text == WYE
    assert '<document title="">\nNot to be cited\n</document>' in asked.heard()


def test_a_pdf_in_place_and_blocks_are_cited(asked: Asked) -> None:
    asked.says("The Wye flows to Chepstow [2]. Dinner is at eight [5].")
    data = base64.b64encode(pdf()).decode()
    blocks: Any = [{"type": "text", "text": text} for text in ("Breakfast is at seven.", "Dinner is at eight.")]
    (block,) = asked.ask(
        document({"type": "base64", "media_type": "application/pdf", "data": data}),
        document({"type": "content", "content": blocks}, title="Meals"),
    ).content
    page, place = sorted(block.citations, key=lambda citation: citation.document_index)
    assert (page.type, page.start_page_number) == ("page_location", 2)
    assert (place.type, place.start_block_index, place.end_block_index) == ("content_block_location", 1, 2)
    assert (place.cited_text, place.document_index, place.document_title) == ("Dinner is at eight.", 1, "Meals")


def test_citations_are_streamed(asked: Asked) -> None:
    events = list(asked.ask(document({"type": "file", "file_id": asked.text}), stream=True))
    kinds = [event.delta.type if event.type == "content_block_delta" else event.type for event in events]
    assert kinds[-4:] == ["citations_delta", "content_block_stop", "message_delta", "message_stop"]
    cited = events[kinds.index("citations_delta")].delta.citation
    assert (cited.type, cited.cited_text) == ("char_location", WYE)
    texts = [
        event.delta.text for event in events if event.type == "content_block_delta" and event.delta.type == "text_delta"
    ]
    assert "".join(texts) == ANSWER


@pytest.mark.parametrize("said", ["Bananas are yellow [1].", "I do not know [9].", ""])
def test_what_no_passage_says_is_not_cited(asked: Asked, said: str) -> None:
    asked.says(said)
    for block in asked.ask(document({"type": "file", "file_id": asked.text})).content:
        assert not block.citations


def test_other_dialects_cite_in_their_own_form(asked: Asked) -> None:
    more: Any = {"file_ids": [asked.pdf], "citations": True}
    asked.says("The Wye flows to Chepstow [2].")
    chat = asked.openai.chat.completions.create(
        model="m", messages=[{"role": "user", "content": "Where does the Wye flow?"}], extra_body=more
    )
    (annotation,) = [found.model_dump() for found in chat.choices[0].message.annotations or ()]
    assert annotation["type"] == "citation"
    assert {name: annotation["citation"][name] for name in ("kind", "file_id", "start", "end", "quote")} == {
        "kind": "page",
        "file_id": asked.pdf,
        "start": 2,
        "end": 3,
        "quote": "The Wye flows to Chepstow.",
    }
    response: Any = asked.openai.responses.create(
        model="m", input="Where does the Wye flow?", extra_body={**more, "citations": {"enabled": True}}
    )
    (cited,) = response.output[0].content[0].annotations
    assert (cited.type, cited.file_id, cited.filename) == ("file_citation", asked.pdf, "rivers.pdf")
    asked.ask(question="And?", extra_body={"file_ids": [asked.text], "citations": {"enabled": False}})
    assert "<file name=" in asked.heard()


def test_of_what_is_too_long_the_model_reads_what_fits_the_question(asked: Asked) -> None:
    pages = "\n\n".join(f"Chapter {n} is about the {n}th fish. {'It swims. ' * 60}" for n in range(30))
    source = {"type": "text", "media_type": "text/plain", "data": f"{pages}\n\n{TEXT}"}
    (block,) = asked.ask(document(source), model="small").content
    heard = asked.heard()
    assert "flows" in heard
    assert len(heard) < 2_000
    assert block.citations[0].cited_text == WYE


def test_a_model_that_cites_itself_is_left_alone(asked: Asked, tmp_path: Any) -> None:
    def claude(request: FakeRequest) -> FakeAnswer:
        return json_body({**wire.ANTHROPIC_BODY, "content": [{"type": "text", "text": request.body.decode()}]})

    with FakeUpstream(claude) as upstream:
        providers = {"anthropic": {"base_url": upstream.url, "api_key": "sk"}}
        with WyeServer({"local": {"enabled": False}, "home": str(tmp_path), "providers": providers}) as server:
            part = document({"type": "file", "file_id": "file_theirs"})
            body = {"model": "claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": [part]}]}
            _, _, said = wire.call(server.url, "/v1/messages", body)
    assert json.loads(json.loads(said)["content"][0]["text"])["messages"] == body["messages"]


@pytest.mark.parametrize(
    ("source", "status", "said"),
    [
        ({"type": "file", "file_id": "file-0"}, 404, "No such File object: file-0"),
        ({"type": "url", "url": "http://127.0.0.1:1/a.pdf"}, 400, "Wye fetches no addresses"),
        ({"type": "base64", "media_type": "application/pdf", "data": "!"}, 400, "not valid base64"),
        ({"type": "base64", "media_type": "application/pdf", "data": "aGk="}, 400, "cannot be read"),
        ({"type": "base64", "media_type": "image/png", "data": "aGk="}, 415, "image/png, which cannot be read"),
    ],
)
def test_a_document_that_cannot_be_read_is_refused(asked: Asked, source: Said, status: int, said: str) -> None:
    content = [document(source), {"type": "text", "text": "?"}]
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": content}]}
    for stream in (False, True):
        found, _, answer = wire.call(asked.server.url, "/v1/messages", {**body, "stream": stream})
        assert (found, said in json.loads(answer)["error"]["message"]) == (status, True), answer


def test_documents_without_end_are_refused(asked: Asked) -> None:
    text = {"type": "text", "media_type": "text/plain", "data": "x"}
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [document(text)] * 51}]}
    status, _, answer = wire.call(asked.server.url, "/v1/messages", body)
    assert (status, "At most 50 documents" in json.loads(answer)["error"]["message"]) == (400, True), answer


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"citations": "yes"}, "citations must be true"),
        ({"citations": True, "model": "panel"}, "for a single model"),
    ],
)
def test_citations_that_cannot_be_are_refused(asked: Asked, more: Said, said: str) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "?"}], "file_ids": [asked.text], **more}
    status, _, answer = wire.call(asked.server.url, "/v1/chat/completions", body)
    assert (status, said in json.loads(answer)["error"]["message"]) == (400, True), answer


def test_every_document_is_in_its_place(asked: Asked) -> None:
    asked.says("Dinner is at eight [2].")
    text = {"type": "text", "media_type": "text/plain", "data": "The Usk is short."}
    meals = {"type": "text", "media_type": "text/plain", "data": "Dinner is at eight."}
    turns: list[Any] = [
        {"role": "user", "content": [document(text)]},
        {"role": "assistant", "content": "I see."},
        {"role": "user", "content": [{"type": "text", "text": "When is dinner?"}, document(meals)]},
    ]
    said: Any = asked.claude.messages.create(model="m", max_tokens=9, messages=turns)
    assert [citation.document_index for citation in said.content[0].citations] == [1]
    heard = [message["content"] for message in asked.upstream.requests[-1].json()["messages"]]
    assert heard[0] == '<document title="">\n[1] The Usk is short.\n</document>'
    assert heard[2].startswith('<document title="">\n[2] Dinner is at eight.\n</document>\n\nPut the number')
    assert heard[2].endswith("\n\nWhen is dinner?")


def test_named_files_come_before_a_request_without_words(asked: Asked) -> None:
    picture: Any = {"type": "image_url", "image_url": {"url": "https://e.x/a.png"}}
    chat = {"model": "m", "messages": [{"role": "user", "content": [picture]}]}
    body = {**chat, "file_ids": [asked.text], "citations": True}
    assert wire.call(asked.server.url, "/v1/chat/completions", body)[0] == 200
    heard = asked.upstream.requests[-1].json()["messages"]
    assert [message["role"] for message in heard] == ["user", "user"]
    assert "[1] The Usk is short." in heard[1]["content"]
