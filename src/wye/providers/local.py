"""Models on this machine: llama.cpp's server behind a unix socket, made safe and given what it lacks.

The engine's own HTTP API speaks OpenAI Chat with many further members, some of which end the process (a raw grammar)
or hold its slots; so a caller's bytes never reach it, only what the canonical form says.
"""

from __future__ import annotations

import asyncio
import re
from math import prod
from typing import Any

import msgspec

from wye.canon.loss import Losses
from wye.canon.parts import Audio, Document, Image, Part, PlainText, Text, ToolResult
from wye.canon.request import ChatRequest, Message, OutputFormat
from wye.canon.tools import FunctionTool, Tool, ToolChoice
from wye.dialects.dialect import Dialect, EmbeddingDialect, Quirks
from wye.dialects.refusal import CONTEXT_LENGTH_EXCEEDED
from wye.kernel.errors import BadAnswer, BadRequest, ConnectFailed, StreamCut, UpstreamRefused
from wye.kernel.json import JsonError, JsonObject, as_list, as_object, decode, encode, encode_text, split_object
from wye.ports.engine import Address, QueuedEngine
from wye.ports.provider import NORMAL, Adapted, Call, Operation
from wye.ports.transport import Clocks, Reply, Sent, Transport
from wye.providers.forced_tools import ForcedTools, forced_schema, instruction
from wye.providers.held_reply import HeldReply
from wye.providers.local_embeddings import LocalEmbeddings

_HEADERS = b"content-type: application/json\r\n"
_TARGETS: dict[Operation, bytes] = {
    "chat": b"/v1/chat/completions",
    "count_tokens": b"/v1/chat/completions/input_tokens",
}
_SAMPLING = ("min_p", "typical_p", "repeat_penalty")
"""Members of llama.cpp's API beyond OpenAI's that are numbers and harm nobody."""
_PRIORITIES = (1, 2, 3)
_MAX_CHOICES = 16
_MAX_SCHEMA_BYTES = 64 * 1024
_MAX_SCHEMA_DEPTH = 32
_MAX_REPETITIONS = 1000
_MAX_ALTERNATIVES = 500
"""Of a schema in all, optional members included: a grammar's step costs more than linearly in them."""
_MAX_OPTIONAL_PARTS = 16
"""Of a pattern: 16 cost the engine's one loop about a second, 32 hold it for minutes."""
_OPTIONAL = re.compile(r"(?<![\\(])[?*]")
_COUNTED_GROUP = re.compile(r"\)\{(\d*)(?:,(\d*))?\}")
_RANGES = (("minItems", "maxItems"), ("minLength", "maxLength"), ("minProperties", "maxProperties"))
_REPETITIONS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
_TOOLS_MB = 1536
"""The memory of a model that can be relied on to call tools. Of those of half a billion parameters that were tried, one
writes a call as a text, the other never makes one."""
_SMALL_ANSWER = 1024 * 1024
_QUICK_S = 30.0
_NOTICED_S = 0.1
_COUNTED = re.compile(r"\{(\d*)(?:,(\d*))?\}")
"""`{n}`, `{n,}` and `{n,m}` in a regular expression."""


class _Abilities(msgspec.Struct, frozen=True):
    address: Address
    """Where this was asked: a model that was loaded anew has another."""
    tools: bool
    """Whether the model's chat template has a place for tools."""


class LocalProvider:
    passthrough = False
    is_wye = False
    quirks = Quirks(reasoning_details=False)

    def __init__(
        self,
        name: str,
        dialect: Dialect,
        engine: QueuedEngine,
        transport: Transport,
        embeddings: LocalEmbeddings | None = None,
    ) -> None:
        """`dialect` is openai_chat: what the engine's HTTP server speaks."""
        self.name = name
        self._dialect = dialect
        self._engine = engine
        self._transport = transport
        self._embeddings = embeddings
        self._abilities: dict[str, _Abilities] = {}

    async def adapt(self, request: ChatRequest, losses: Losses) -> Adapted:
        """Raises BadRequest for what the model cannot take, and what `Engine.address` raises."""
        if self._embeddings is not None and self._embeddings.knows(request.model):
            raise BadRequest(f"'{request.model}' gives no text, but vectors: ask it at /v1/embeddings", param="model")
        _refuse_media(request)
        if request.n is not None and request.n > _MAX_CHOICES:
            raise BadRequest(f"n may be at most {_MAX_CHOICES} for a local model", param="n")
        priority = _take_priority(request)
        choice = request.tool_choice or ToolChoice("auto")
        given = [_plain_tool(i, tool, losses) for i, tool in enumerate(request.tools or [])]
        # llama.cpp knows neither a choice of tools nor a forced call: the tools that it is shown say the first, a
        # schema over them the second.
        tools = [tool for tool in given if tool is not None and _may_call(choice, tool.name)]
        request = msgspec.structs.replace(
            request,
            output=_plain_output(request.output),
            tools=tools or None,
            tool_choice=None,
            extras=_sampling(request, losses),
        )
        if choice.mode in ("required", "named"):
            if not tools:
                raise BadRequest("tool_choice forces a call, but no tool that it allows is given", param="tool_choice")
            return _forced(request, tools, priority)
        if tools and not (await self._abilities_of(request.model)).tools:
            losses.add("tools", "this model's chat template has no place for tools")
        return Adapted(request, priority=priority)

    def speaks(self, model: str, caller: Dialect) -> Dialect:
        return self._dialect

    def takes_prefill(self, model: str) -> bool:
        return True

    def calls_tools(self, model: str) -> bool:
        return all(known.id != model or not 0 < known.memory_mb < _TOOLS_MB for known in self._engine.models())

    def window(self, model: str) -> int | None:
        return next((known.context_length for known in self._engine.models() if known.id == model), None)

    def embeds(self, model: str) -> EmbeddingDialect | None:
        return self._embeddings.dialect if self._embeddings is not None and self._embeddings.knows(model) else None

    def call_at_once(self, call: Call) -> Sent | None:
        return None  # it waits for its turn

    async def call(self, call: Call) -> Reply:
        """An answer holds a slot of its model until it is closed.

        Raises what `QueuedEngine.slot`, `Engine.address` and `Transport.send` raise; UpstreamRefused for a context that
        is too long, since another model may hold it; BadRequest for what else the engine refuses.
        """
        if call.operation == "embed" and self._embeddings is not None:
            return await self._embeddings.call(call)
        target = _TARGETS.get(call.operation)
        if target is None:
            raise BadRequest(f"'{call.model}' gives no embeddings: it is a model for text", param="model")
        if call.operation == "count_tokens":
            return await self._answered(call, target)
        slot = await self._engine.slot(call.model, call.priority)
        try:
            return HeldReply(await self._answered(call, target), slot)
        except BaseException:
            slot.release()
            raise

    async def count_tokens(self, model: str, request: ChatRequest) -> int | None:
        losses = Losses()
        request = msgspec.structs.replace(
            request, model=model, stream=False, output=None, tool_choice=None, extras=None
        )
        adapted = await self.adapt(request, losses)
        body = encode(self._dialect.encode_request(adapted.request, losses, self.quirks))
        reply = await self.call(Call(self._dialect.name, model, body, False, "count_tokens"))
        if reply.status != 200:
            reply.close()
            return None  # a server that does not count
        answer = await self._object(reply)
        tokens = answer.get("input_tokens")
        return tokens if isinstance(tokens, int) else None

    async def _answered(self, call: Call, target: bytes) -> Reply:
        try:
            reply = await self._send(call.model, b"POST", target, call.body, call.clocks)
        except (ConnectFailed, StreamCut):
            # The process ended this moment, perhaps with this call already in its socket. When the engine has noticed,
            # asking for the address starts it again. Once only: a call that ends the process must not do so for ever.
            await asyncio.sleep(_NOTICED_S)
            reply = await self._send(call.model, b"POST", target, call.body, call.clocks)
        if reply.status == 400:
            await self._explain(reply, call.model)
        return reply

    async def _send(self, model: str, method: bytes, target: bytes, body: bytes, clocks: Clocks) -> Reply:
        at = await self._engine.address(model)
        if at.model is not None and body:
            body = encode({**split_object(body), "model": at.model})
        return await self._transport.send(at.origin, method, at.prefix + target, _HEADERS + at.headers, body, clocks)

    async def _abilities_of(self, model: str) -> _Abilities:
        address = await self._engine.address(model)
        known = self._abilities.get(model)
        if known is None or known.address != address:
            reply = await self._send(model, b"GET", b"/props", b"", Clocks())
            # Only llama.cpp's server tells; of another one everything is expected.
            props: JsonObject = await self._object(reply) if reply.status == 200 else {}
            reply.close()
            able = as_object(props.get("chat_template_caps"))
            known = self._abilities[model] = _Abilities(address, tools=able is None or bool(able.get("supports_tools")))
        return known

    async def _object(self, reply: Reply) -> JsonObject:
        try:
            return as_object(decode(await reply.read_all(_SMALL_ANSWER, _QUICK_S))) or {}
        except JsonError as error:
            raise BadAnswer(f"The local engine's answer is not valid JSON: {error}") from None
        finally:
            reply.close()

    async def _explain(self, reply: Reply, model: str) -> None:
        """Raise a 400 of the engine in the words and codes that clients know."""
        details = as_object((await self._object(reply)).get("error")) or {}
        message = str(details.get("message", "The local engine refused the request"))[:2000]
        if details.get("type") == "exceed_context_size_error":
            given, room = details.get("n_prompt_tokens"), details.get("n_ctx")
            raise UpstreamRefused(
                f"The context of '{model}' holds {room} tokens, but the messages have {given}. Shorten them.",
                status=400,
                param="messages",
                code=CONTEXT_LENGTH_EXCEEDED,
                details={"n_prompt_tokens": given, "n_ctx": room},
            )
        param = "response_format" if "schema" in message.lower() else None
        raise BadRequest(message, param=param)


def _may_call(choice: ToolChoice, name: str) -> bool:
    if choice.mode == "named":
        return name == choice.name
    return choice.mode != "none" and (choice.allowed is None or name in choice.allowed)


def _forced(request: ChatRequest, tools: list[FunctionTool], priority: int) -> Adapted:
    """The request for a text that names one of the tools and holds its arguments."""
    request = msgspec.structs.replace(
        request,
        messages=[Message("system", [Text(instruction(tools))]), *request.messages],
        tools=None,
        parallel_tool_calls=None,
        output=OutputFormat("json_schema", forced_schema(tools), name="tool_call"),
    )
    return Adapted(request, ForcedTools(), priority)


def _refuse_media(request: ChatRequest) -> None:
    def walk(parts: list[Part], path: str) -> None:
        for i, part in enumerate(parts):
            at = f"{path}[{i}]"
            match part:
                case Image() | Audio():
                    what = "images" if isinstance(part, Image) else "audio"
                    raise BadRequest(f"{at}: '{request.model}' reads text only, no {what}", param=at)
                case Document() if not isinstance(part.source, PlainText):
                    raise BadRequest(f"{at}: '{request.model}' reads text only: send the document's text", param=at)
                case ToolResult():
                    walk(part.parts, f"{at}.content")
                case _:
                    pass

    for i, message in enumerate(request.messages):
        walk(message.parts, f"messages[{i}].content")


def _take_priority(request: ChatRequest) -> int:
    """The member `priority`, in whichever dialect it came. Raises BadRequest."""
    for members in (request.extras or {}).values():
        if "priority" in members:
            priority = members["priority"]
            if type(priority) is not int or priority not in _PRIORITIES:
                raise BadRequest("priority must be 1, 2 or 3 (3 goes first)", param="priority")
            return priority
    return NORMAL


def _sampling(request: ChatRequest, losses: Losses) -> dict[str, dict[str, Any]] | None:
    """The extras that go on to the engine: a few numbers by name, nothing else."""
    kept: JsonObject = {}
    for origin, members in (request.extras or {}).items():
        for name, value in members.items():
            if name == "priority":
                continue
            if origin == "openai_chat" and name in _SAMPLING and isinstance(value, int | float):
                kept[name] = value
            else:
                losses.add(name, "a local model does not take it")
    return {"openai_chat": kept} if kept else None


def _plain_tool(index: int, tool: Tool, losses: Losses) -> FunctionTool | None:
    at = f"tools[{index}]"
    if not isinstance(tool, FunctionTool):
        losses.add(at, "a local model can call functions only")
        return None
    if tool.schema is not None:
        check_schema(tool.schema, f"{at}.parameters")
    return FunctionTool(tool.name, tool.description, tool.schema, tool.strict)


def _plain_output(output: OutputFormat | None) -> OutputFormat | None:
    if output is None:
        return None
    if output.schema is not None:
        check_schema(output.schema, "response_format.json_schema.schema")
    return OutputFormat(output.type, output.schema, output.name, output.description, output.strict)


def check_schema(schema: JsonObject, path: str) -> None:
    """Raises BadRequest for a schema that would cost the engine more than an answer is worth: it becomes a grammar."""
    size = len(encode_text(schema))
    if size > _MAX_SCHEMA_BYTES:
        raise BadRequest(f"{path} has {size} bytes of JSON; at most {_MAX_SCHEMA_BYTES} for a local model", param=path)
    alternatives = 0
    stack: list[tuple[Any, int]] = [(schema, 1)]
    while stack:
        value, depth = stack.pop()
        if depth > _MAX_SCHEMA_DEPTH:
            raise BadRequest(f"{path} is nested more than {_MAX_SCHEMA_DEPTH} levels deep", param=path)
        stack += [(item, depth + 1) for item in as_list(value) or ()]
        if members := as_object(value):
            for name in _REPETITIONS:
                count = members.get(name)
                if isinstance(count, int | float) and count > _MAX_REPETITIONS:
                    raise BadRequest(f"{path}: {name} may be at most {_MAX_REPETITIONS} for a local model", param=path)
            for least, most in _RANGES:
                low, high = members.get(least), members.get(most)
                if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
                    raise BadRequest(f"{path}: {least} is more than {most}", param=path)
            alternatives += sum(len(as_list(members.get(name)) or ()) for name in ("enum", "anyOf", "oneOf", "type"))
            optional = len(as_object(members.get("properties")) or ()) - len(as_list(members.get("required")) or ())
            alternatives += max(0, optional)
            if alternatives > _MAX_ALTERNATIVES:
                what = "alternatives (enum, anyOf, optional properties)"
                raise BadRequest(f"{path} has more than {_MAX_ALTERNATIVES} {what}", param=path)
            pattern = members.get("pattern")
            if isinstance(pattern, str) and _repetitions(pattern) > _MAX_REPETITIONS:
                raise BadRequest(f"{path}: a pattern may repeat at most {_MAX_REPETITIONS} times in all", param=path)
            if isinstance(pattern, str) and any(int(n or 0) > int(m) for n, m in _COUNTED.findall(pattern) if m):
                raise BadRequest(f"{path}: a pattern repeats at least more often than at most", param=path)
            if isinstance(pattern, str) and _optional_parts(pattern) > _MAX_OPTIONAL_PARTS:
                raise BadRequest(f"{path}: a pattern may have at most {_MAX_OPTIONAL_PARTS} optional parts", param=path)
            reference = members.get("$ref")
            if isinstance(reference, str) and not reference.startswith("#"):
                raise BadRequest(f"{path}: $ref must point within the schema, not to {reference[:80]!r}", param=path)
            stack += [(item, depth + 1) for item in members.values()]


def _repetitions(pattern: str) -> float:
    """How often the counted repetitions of a regular expression repeat when each is inside another, the worst case:
    `((a{0,30}){0,30}){0,30}` has held the engine's one loop for minutes."""
    return prod(max(1.0, float(most or least or 1)) for least, most in _COUNTED.findall(pattern))


def _optional_parts(pattern: str) -> float:
    """The `?` and `*` of a regular expression, each as often as the counted groups repeat."""
    groups = prod(max(1.0, float(most or least or 1)) for least, most in _COUNTED_GROUP.findall(pattern))
    return len(_OPTIONAL.findall(pattern)) * groups
