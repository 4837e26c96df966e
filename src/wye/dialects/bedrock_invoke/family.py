"""What every family has in common: errors, frames, and the figures of the last chunk."""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec.structs import replace

from wye.canon.loss import Losses
from wye.canon.request import ChatRequest
from wye.canon.response import ChatResponse
from wye.canon.usage import Usage
from wye.dialects.aws_errors import decode_error, encode_error, error_headers
from wye.dialects.bedrock_invoke import framing
from wye.dialects.bedrock_invoke.framing import AwsEncoder, ChunkReader
from wye.dialects.bedrock_invoke.headers import HEADERS
from wye.dialects.bedrock_invoke.metrics import MeteredEncoder, MeteredReader, decode_metrics
from wye.dialects.dialect import EVENT_STREAM, Dialect, HeaderCodec, Quirks, StreamEncoder, TapRules
from wye.kernel.errors import WyeError
from wye.kernel.json import JsonObject, decode_answer

REQUEST_ID_HEADER = b"x-amzn-requestid"

_EVERY_FRAME = re.compile(b"")
"""In AWS's frames a chunk is base64: only its decoder can tell whether it matters."""


def bedrock_family(
    *,
    name: str,
    decode_request: Callable[[JsonObject], ChatRequest],
    encode_request: Callable[[ChatRequest, Losses, Quirks], JsonObject],
    decode_response: Callable[[JsonObject], ChatResponse],
    encode_response: Callable[[ChatResponse, Losses], JsonObject],
    chunk_reader: Callable[[], ChunkReader],
    stream_encoder: Callable[[ChatRequest, Losses], StreamEncoder],
    encode_stream_error: Callable[[WyeError, str], bytes],
    decode_usage: Callable[[JsonObject], Usage] = decode_metrics,
    terminator: bytes = b"",
    headers: HeaderCodec = HEADERS,
    cites: bool = False,
) -> Dialect:
    """The dialect of a family, from codecs of its chunks without metrics: in AWS's frames, and `as_sse` as server-sent
    events. The encoder says them as such events; `terminator` is what they end with."""

    def usage_of(body: bytes) -> Usage | None:
        return decode_response(decode_answer(body)).usage

    def reader() -> ChunkReader:
        return MeteredReader(chunk_reader(), name)

    def sse_encoder(request: ChatRequest, losses: Losses) -> StreamEncoder:
        return MeteredEncoder(stream_encoder(request, losses), name)

    def aws_encoder(request: ChatRequest, losses: Losses) -> StreamEncoder:
        return AwsEncoder(sse_encoder(request, losses))

    as_sse = Dialect(
        name=name,
        decode_request=decode_request,
        encode_request=encode_request,
        decode_response=decode_response,
        encode_response=encode_response,
        cites=cites,
        decode_usage=decode_usage,
        stream_decoder=lambda: framing.sse_decoder(reader()),
        stream_encoder=sse_encoder,
        tap=TapRules(markers=_EVERY_FRAME, usage_of=usage_of, terminator=terminator),
        model_in_path=True,
        headers=headers,
        request_id_header=REQUEST_ID_HEADER,
        encode_error=encode_error,
        error_headers=error_headers,
        encode_stream_error=encode_stream_error,
        decode_error=decode_error,
    )
    return replace(
        as_sse,
        stream_decoder=lambda: framing.aws_decoder(reader()),
        stream_encoder=aws_encoder,
        tap=TapRules(markers=_EVERY_FRAME, usage_of=usage_of),
        encode_stream_error=framing.encode_stream_error,
        framing=EVENT_STREAM,
        as_sse=as_sse,
    )
