"""The local provider before an engine and a transport that are lists of what they were asked."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest

from wye.canon.loss import Losses
from wye.canon.parts import Audio, Base64, Document, Image, PlainText, Text, ToolResult, Url
from wye.canon.request import ChatRequest, Message, OutputFormat
from wye.canon.tools import CustomTool, FunctionTool, NativeTool, ToolChoice
from wye.dialects.registry import DIALECTS
from wye.kernel.errors import BadAnswer, BadRequest, ConnectFailed, StreamCut, UpstreamError, UpstreamRefused
from wye.ports.engine import Address
from wye.ports.provider import Call
from wye.ports.transport import Clocks, Origin
from wye.providers import local as module
from wye.providers.forced_tools import ForcedTools, forced_schema
from wye.providers.local import LocalProvider, check_schema


class Reply:
    def __init__(self, body: Any, status: int = 200) -> None:
        self.status = status
        self.headers: dict[bytes, bytes] = {}
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.closed = False

    def header(self, name: bytes) -> bytes | None:
        return None

    async def read(self, timeout_s: float, clock: str = "gap_s") -> bytes:
        return b""

    async def read_all(self, limit: int, timeout_s: float) -> bytes:
        assert len(self.body) <= limit
        return self.body

    def close(self) -> None:
        self.closed = True


class SlotDouble:
    position = 0

    def __init__(self, model: str, priority: int) -> None:
        self.model, self.priority = model, priority
        self.released = 0

    def release(self) -> None:
        self.released += 1


class Machine:
    """Engine and transport in one: answers in order, or raises."""

    def __init__(self) -> None:
        self.origin = Origin("unix", socket_path="/1.sock")
        self.props: Any = {"chat_template_caps": {"supports_tools": True}}
        self.answers: list[Reply | BaseException] = []
        self.props_status = 200
        self.elsewhere: Address | None = None
        self.headers: list[bytes] = []
        self.addressed: list[str] = []
        self.slots: list[SlotDouble] = []
        self.sent: list[tuple[Origin, bytes, bytes, bytes]] = []

    async def address(self, model: str) -> Address:
        self.addressed.append(model)
        return self.elsewhere or Address(self.origin)

    async def slot(self, model: str, priority: int) -> SlotDouble:
        self.slots.append(SlotDouble(model, priority))
        return self.slots[-1]

    async def send(
        self, origin: Origin, method: bytes, target: bytes, headers: bytes, body: bytes, clocks: Clocks
    ) -> Reply:
        self.sent.append((origin, method, target, body))
        self.headers.append(headers)
        answer = Reply(self.props, self.props_status) if target == b"/props" else self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def provider(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> LocalProvider:
    monkeypatch.setattr(module, "_NOTICED_S", 0.0)
    return LocalProvider("local", DIALECTS["openai_chat"], machine, machine)  # type: ignore[arg-type]


def request(*messages: Message, **members: Any) -> ChatRequest:
    return ChatRequest(model="tiny", messages=list(messages) or [Message("user", [Text("Hi")])], **members)


PICTURE, SOUND = Image(Url("https://x/y.png")), Audio("AAAA", "wav")
MEDIA = {
    "an image": (Message("user", [Text("a"), PICTURE]), "messages[0].content[1]", "no images"),
    "audio": (Message("user", [SOUND]), "messages[0].content[0]", "no audio"),
    "a PDF": (
        Message("user", [Document(Base64("AA", "application/pdf"))]),
        "messages[0].content[0]",
        "document's text",
    ),
    "an image in a tool's result": (
        Message("user", [ToolResult("c", [Text("a"), PICTURE])]),
        "messages[0].content[0].content[1]",
        "no images",
    ),
}


@pytest.mark.parametrize("name", MEDIA)
async def test_media_are_refused_with_their_path_before_anything_is_loaded(
    provider: LocalProvider, machine: Machine, name: str
) -> None:
    message, path, why = MEDIA[name]
    with pytest.raises(BadRequest, match=why) as refused:
        await provider.adapt(request(message), Losses())
    assert refused.value.param == path
    assert refused.value.message.startswith(path)
    assert machine.addressed == []


async def test_a_document_that_is_text_is_taken(provider: LocalProvider) -> None:
    asked = request(Message("user", [Document(PlainText("the text")), ToolResult("c", [Text("done")])]))
    assert (await provider.adapt(asked, Losses())).request.messages == asked.messages


@pytest.mark.parametrize(("n", "taken"), [(None, True), (1, True), (16, True), (17, False), (10**9, False)])
async def test_the_number_of_answers_is_bound(provider: LocalProvider, n: int | None, taken: bool) -> None:
    if taken:
        assert (await provider.adapt(request(n=n), Losses())).request.n == n
    else:
        with pytest.raises(BadRequest, match="n may be at most 16") as refused:
            await provider.adapt(request(n=n), Losses())
        assert refused.value.param == "n"


async def test_sampling_numbers_go_on_and_everything_else_is_a_loss(provider: LocalProvider) -> None:
    extras = {
        "openai_chat": {
            "min_p": 0.1,
            "repeat_penalty": 1.1,
            "typical_p": "high",
            "grammar": "root ::= x",
            "id_slot": 3,
        },
        "anthropic_messages": {"min_p": 0.2, "container": "c"},
    }
    losses = Losses()
    adapted = await provider.adapt(request(extras=extras), losses)
    assert adapted.request.extras == {"openai_chat": {"min_p": 0.1, "repeat_penalty": 1.1}}
    assert sorted(loss.field for loss in losses) == ["container", "grammar", "id_slot", "min_p", "typical_p"]
    body = provider._dialect.encode_request(adapted.request, losses, provider.quirks)
    assert body["min_p"] == 0.1
    assert "grammar" not in body


async def test_a_format_keeps_what_it_says_and_no_extras(provider: LocalProvider) -> None:
    wanted = OutputFormat("json_schema", {"type": "object"}, "n", "d", True, {"openai_chat": {"grammar": "x"}})
    adapted = await provider.adapt(request(output=wanted), Losses())
    assert adapted.request.output == OutputFormat("json_schema", {"type": "object"}, "n", "d", True)
    plain = await provider.adapt(request(output=OutputFormat("json_object")), Losses())
    assert plain.request.output == OutputFormat("json_object")


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"items": [schema]}
    return schema


BAD_SCHEMAS = {
    "size": ({"enum": ["x" * 70_000]}, "bytes of JSON; at most 65536"),
    "depth": (nested(16), "more than 32 levels"),
    "repetitions": ({"type": "array", "maxItems": 1001}, "maxItems may be at most 1000"),
    "repetitions deep inside": ({"anyOf": [{"properties": {"a": {"minLength": 1e12}}}]}, "minLength may be at most"),
    "a remote reference": ({"$ref": "https://evil/schema.json"}, "must point within the schema"),
    "a file": ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "must point within the schema"),
    "a pattern that repeats": ({"pattern": "^a{1001}$"}, "at most 1000 times in all"),
    "repetitions in repetitions": ({"pattern": "((a{0,30}){0,30}){0,30}"}, "at most 1000 times"),
    "hidden behind nothing": ({"pattern": "(b{0}(a{99,}){99}){}{,9}"}, "at most 1000 times"),
    "a number without end": ({"pattern": "a{" + "9" * 5000 + "}"}, "at most 1000 times"),
}


@pytest.mark.parametrize("name", BAD_SCHEMAS)
async def test_a_schema_that_costs_too_much_is_refused_with_its_path(provider: LocalProvider, name: str) -> None:
    schema, why = BAD_SCHEMAS[name]
    with pytest.raises(BadRequest, match=why) as refused:
        await provider.adapt(request(output=OutputFormat("json_schema", schema)), Losses())
    assert refused.value.param == "response_format.json_schema.schema"
    with pytest.raises(BadRequest, match=why) as refused:
        await provider.adapt(request(tools=[FunctionTool("a"), FunctionTool("b", schema=schema)]), Losses())
    assert refused.value.param == "tools[1].parameters"


@pytest.mark.parametrize(
    "schema",
    [
        nested(15),
        {"maxItems": 1000, "minLength": 0, "maxLength": "many"},
        {"properties": {"a": {"$ref": "#/$defs/a"}, "$ref": {"type": "string"}}, "$defs": {"a": {}}},
        {"pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
        {"properties": {"pattern": {"type": "string"}}},
    ],
)
def test_a_schema_of_ordinary_size_is_taken(schema: dict[str, Any]) -> None:
    check_schema(schema, "p")


F, G = FunctionTool("f", schema={"type": "object"}), FunctionTool("g")
CHOICES: dict[str, tuple[ToolChoice | None, list[str]]] = {
    "nothing said": (None, ["f", "g"]),
    "auto": (ToolChoice("auto"), ["f", "g"]),
    "auto among some": (ToolChoice("auto", allowed=["g", "h"]), ["g"]),
    "auto among none": (ToolChoice("auto", allowed=[]), []),
    "none": (ToolChoice("none"), []),
}


@pytest.mark.parametrize("name", CHOICES)
async def test_a_free_choice_shows_the_tools_that_may_be_called(provider: LocalProvider, name: str) -> None:
    choice, shown = CHOICES[name]
    losses = Losses()
    adapted = await provider.adapt(request(tools=[F, G], tool_choice=choice), losses)
    assert [tool.name for tool in adapted.request.tools or []] == shown
    assert adapted.request.tool_choice is None
    assert adapted.rewrite is None
    assert losses == []


FORCED: dict[str, tuple[ToolChoice, list[FunctionTool]]] = {
    "any": (ToolChoice("required"), [F, G]),
    "any of some": (ToolChoice("required", allowed=["g"]), [G]),
    "one": (ToolChoice("named", "f"), [F]),
}


@pytest.mark.parametrize("name", FORCED)
async def test_a_forced_call_becomes_a_schema_and_an_instruction(provider: LocalProvider, name: str) -> None:
    choice, tools = FORCED[name]
    asked = request(tools=[F, G], tool_choice=choice, parallel_tool_calls=True)
    adapted = await provider.adapt(asked, Losses())
    changed = adapted.request
    assert isinstance(adapted.rewrite, ForcedTools)
    assert changed.output == OutputFormat("json_schema", forced_schema(tools), name="tool_call")
    assert (changed.tools, changed.tool_choice, changed.parallel_tool_calls) == (None, None, None)
    assert changed.messages[1:] == asked.messages
    assert changed.messages[0].role == "system"
    assert asked.tools == [F, G], "the caller's request stays what it was"


@pytest.mark.parametrize(
    ("choice", "tools"),
    [
        (ToolChoice("named", "h"), [F, G]),
        (ToolChoice("required", allowed=["h"]), [F, G]),
        (ToolChoice("required"), []),
        (ToolChoice("required"), [CustomTool("c")]),
    ],
)
async def test_a_forced_call_of_no_tool_is_refused(provider: LocalProvider, choice: ToolChoice, tools: Any) -> None:
    with pytest.raises(BadRequest, match="no tool that it allows is given") as refused:
        await provider.adapt(request(tools=tools, tool_choice=choice), Losses())
    assert refused.value.param == "tool_choice"


async def test_tools_that_only_others_can_run_are_a_loss(provider: LocalProvider) -> None:
    losses = Losses()
    tools = [CustomTool("c"), F, NativeTool("anthropic_messages", {"type": "web_search_20250305"})]
    adapted = await provider.adapt(request(tools=tools), losses)
    assert adapted.request.tools == [F]
    assert [loss.field for loss in losses] == ["tools[0]", "tools[2]"]


async def test_a_template_without_a_place_for_tools_is_a_loss_that_is_asked_for_once(
    provider: LocalProvider, machine: Machine
) -> None:
    machine.props = {"chat_template_caps": {"supports_tools": False}}
    for _ in range(2):
        losses = Losses()
        await provider.adapt(request(tools=[F]), losses)
        assert [loss.field for loss in losses] == ["tools"]
    assert [target for _, _, target, _ in machine.sent] == [b"/props"]


async def test_a_model_that_was_loaded_anew_is_asked_anew(provider: LocalProvider, machine: Machine) -> None:
    await provider.adapt(request(tools=[F]), Losses())
    machine.origin = Origin("unix", socket_path="/2.sock")
    machine.props = {"chat_template_caps": {"supports_tools": False}}
    losses = Losses()
    await provider.adapt(request(tools=[F]), losses)
    assert losses
    assert [origin.socket_path for origin, *_ in machine.sent] == ["/1.sock", "/2.sock"]


@pytest.mark.parametrize("props", [{}, {"chat_template_caps": None}])
async def test_an_engine_that_does_not_tell_is_trusted(provider: LocalProvider, machine: Machine, props: Any) -> None:
    machine.props = props
    losses = Losses()
    await provider.adapt(request(tools=[F]), losses)
    assert losses == []


async def test_a_call_goes_to_the_engine_without_the_callers_headers(provider: LocalProvider, machine: Machine) -> None:
    reply = Reply({})
    machine.answers = [reply]
    caller = {b"authorization": b"Bearer secret"}
    answer = await provider.call(Call("openai_chat", "tiny", b"{}", caller=caller))
    assert machine.sent == [(machine.origin, b"POST", b"/v1/chat/completions", b"{}")]
    assert (answer.status, await answer.read_all(10, 1), reply.closed) == (200, b"{}", False)


async def test_an_answer_holds_a_slot_until_it_is_closed(provider: LocalProvider, machine: Machine) -> None:
    machine.answers = [Reply({})]
    answer = await provider.call(Call("openai_chat", "tiny", b"{}", priority=3))
    [slot] = machine.slots
    assert (slot.model, slot.priority, slot.released) == ("tiny", 3, 0)
    assert b"x-queue-position" not in answer.headers
    slot.position = 4
    assert answer.headers[b"x-queue-position"] == b"4"
    answer.close()
    assert slot.released == 1


@pytest.mark.parametrize("failure", [StreamCut("gone"), Reply({"error": {}}, 400), asyncio.CancelledError()])
async def test_a_call_that_comes_to_nothing_holds_no_slot(
    provider: LocalProvider, machine: Machine, failure: Any
) -> None:
    machine.answers = [failure, failure]
    with pytest.raises((StreamCut, BadRequest, asyncio.CancelledError)):
        await provider.call(Call("openai_chat", "tiny", b"{}"))
    assert machine.slots[0].released == 1


async def test_counting_waits_for_nobody(provider: LocalProvider, machine: Machine) -> None:
    machine.answers = [Reply({"input_tokens": 3})]
    await provider.count_tokens("tiny", request())
    assert machine.slots == []


async def test_a_server_elsewhere_is_asked_by_its_own_path_name_and_key(
    provider: LocalProvider, machine: Machine
) -> None:
    machine.elsewhere = Address(Origin("http", "there", 80), b"/llm", b"authorization: Bearer k\r\n", "org/model")
    machine.answers = [Reply({}), Reply({"detail": "Not Found"}, 404)]
    await provider.call(Call("openai_chat", "tiny", b'{"model":"tiny","n":1}'))
    assert await provider.count_tokens("tiny", request()) is None, "it does not count"
    assert machine.sent[0][1:] == (b"POST", b"/llm/v1/chat/completions", b'{"model":"org/model","n":1}')
    assert machine.headers[0].endswith(b"authorization: Bearer k\r\n")


async def test_a_server_that_tells_nothing_of_its_templates_is_trusted_with_tools(
    provider: LocalProvider, machine: Machine
) -> None:
    machine.props_status = 404
    losses = Losses()
    await provider.adapt(request(tools=[FunctionTool("f")]), losses)
    assert losses == []


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic_messages"])
async def test_a_priority_is_taken_from_any_dialect_and_is_no_loss(provider: LocalProvider, dialect: str) -> None:
    losses = Losses()
    adapted = await provider.adapt(request(extras={dialect: {"priority": 3}}), losses)
    assert (adapted.priority, losses, adapted.request.extras) == (3, [], None)
    assert (await provider.adapt(request(), losses)).priority == 2
    forced = request(tools=[FunctionTool("f")], tool_choice=ToolChoice("required"), extras={dialect: {"priority": 1}})
    assert (await provider.adapt(forced, losses)).priority == 1


@pytest.mark.parametrize("priority", [0, 4, "high", True, 2.0, None, []])
async def test_a_priority_that_is_none_is_refused(provider: LocalProvider, priority: Any) -> None:
    with pytest.raises(BadRequest, match="priority must be 1, 2 or 3") as refused:
        await provider.adapt(request(extras={"openai_chat": {"priority": priority}}), Losses())
    assert refused.value.param == "priority"


@pytest.mark.parametrize("gone", [ConnectFailed, StreamCut])
async def test_an_engine_that_ended_this_moment_is_asked_for_once_more(
    provider: LocalProvider, machine: Machine, gone: type[UpstreamError]
) -> None:
    machine.answers = [gone("gone"), Reply({})]
    await provider.call(Call("openai_chat", "tiny", b"{}"))
    assert machine.addressed == ["tiny", "tiny"]
    machine.answers = [gone("gone"), gone("gone for good")]
    with pytest.raises(gone, match="for good"):
        await provider.call(Call("openai_chat", "tiny", b"{}"))


async def test_a_context_that_is_too_long_is_told_with_its_figures(provider: LocalProvider, machine: Machine) -> None:
    error = {"code": 400, "type": "exceed_context_size_error", "message": "...", "n_prompt_tokens": 900, "n_ctx": 512}
    reply = Reply({"error": error}, 400)
    machine.answers = [reply]
    with pytest.raises(
        UpstreamRefused, match="The context of 'tiny' holds 512 tokens, but the messages have 900"
    ) as refused:
        await provider.call(Call("openai_chat", "tiny", b"{}"))
    assert (refused.value.status, refused.value.code) == (400, "context_length_exceeded")
    assert refused.value.param == "messages"
    assert refused.value.details == {"n_prompt_tokens": 900, "n_ctx": 512}
    assert reply.closed


EXPLAINED = {
    "a schema": ({"error": {"message": "JSON schema error at #: unknown"}}, "JSON schema error", "response_format"),
    "another": ({"error": {"message": "m" * 5000}}, "m" * 100, None),
    "nothing": ({}, "The local engine refused the request", None),
    "no object": ([1], "The local engine refused the request", None),
}


@pytest.mark.parametrize("name", EXPLAINED)
async def test_a_refusal_of_the_engine_is_told_in_short(provider: LocalProvider, machine: Machine, name: str) -> None:
    body, told, param = EXPLAINED[name]
    machine.answers = [Reply(body, 400)]
    with pytest.raises(BadRequest, match=told) as refused:
        await provider.call(Call("openai_chat", "tiny", b"{}"))
    assert refused.value.param == param
    assert len(refused.value.message) <= 2000


async def test_a_refusal_that_is_no_json_is_a_bad_answer(provider: LocalProvider, machine: Machine) -> None:
    reply = Reply(b"<html>", 400)
    machine.answers = [reply]
    with pytest.raises(BadAnswer, match="not valid JSON"):
        await provider.call(Call("openai_chat", "tiny", b"{}"))
    assert reply.closed


async def test_other_errors_are_left_to_the_dialect(provider: LocalProvider, machine: Machine) -> None:
    machine.answers = [Reply({"error": {"message": "x"}}, 500)]
    assert (await provider.call(Call("openai_chat", "tiny", b"{}"))).status == 500


@pytest.mark.parametrize(("answer", "tokens"), [({"input_tokens": 12}, 12), ({"input_tokens": "12"}, None), ({}, None)])
async def test_tokens_are_counted_by_the_engine(
    provider: LocalProvider, machine: Machine, answer: Any, tokens: int | None
) -> None:
    machine.answers = [Reply(answer)]
    asked = request(
        stream=True, tools=[F], tool_choice=ToolChoice("required"), extras={"openai_chat": {"grammar": "x"}}
    )
    assert await provider.count_tokens("other", msgspec.structs.replace(asked, model="alias")) == tokens
    _, method, target, body = machine.sent[-1]
    assert (method, target) == (b"POST", b"/v1/chat/completions/input_tokens")
    sent = json.loads(body)
    assert sent["model"] == "other"
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["f"]
    assert set(sent) <= {"model", "messages", "tools", "stream"}
