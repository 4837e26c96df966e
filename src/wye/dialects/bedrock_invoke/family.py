"""What every family has in common: errors, frames, and the figures of the last chunk."""

from __future__ import annotations

import re
from collections.abc import Callable

from wye.canon.loss import Losses
from wye.canon.request import ChatRequest
from wye.canon.response import ChatResponse
from wye.canon.usage import Usage
from wye.dialects.aws_errors import decode_error, encode_error
from wye.dialects.bedrock_invoke.metrics import MeteredDecoder, MeteredEncoder, decode_metrics
from wye.dialects.dialect import Dialect, Quirks, StreamDecoder, StreamEncoder, TapRules
from wye.kernel.errors import WyeError
from wye.kernel.json import JsonObject, decode_answer

REQUEST_ID_HEADER = b"x-amzn-requestid"


def bedrock_family(
    *,
    name: str,
    decode_request: Callable[[JsonObject], ChatRequest],
    encode_request: Callable[[ChatRequest, Losses, Quirks], JsonObject],
    decode_response: Callable[[JsonObject], ChatResponse],
    encode_response: Callable[[ChatResponse, Losses], JsonObject],
    stream_decoder: Callable[[], StreamDecoder],
    stream_encoder: Callable[[ChatRequest, Losses], StreamEncoder],
    encode_stream_error: Callable[[WyeError, str], bytes],
    decode_usage: Callable[[JsonObject], Usage] = decode_metrics,
    terminator: bytes = b"",
) -> Dialect:
    """The dialect of a family, from stream codecs that speak server-sent events without metrics."""

    def usage_of(body: bytes) -> Usage | None:
        return decode_response(decode_answer(body)).usage

    return Dialect(
        name=name,
        decode_request=decode_request,
        encode_request=encode_request,
        decode_response=decode_response,
        encode_response=encode_response,
        decode_usage=decode_usage,
        stream_decoder=lambda: MeteredDecoder(stream_decoder(), name),
        stream_encoder=lambda request, losses: MeteredEncoder(stream_encoder(request, losses), name),
        tap=TapRules(markers=re.compile(b""), usage_of=usage_of, terminator=terminator),
        request_id_header=REQUEST_ID_HEADER,
        encode_error=encode_error,
        encode_stream_error=encode_stream_error,
        decode_error=decode_error,
    )
