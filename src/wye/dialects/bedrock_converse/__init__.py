"""Amazon Bedrock's Converse API. https://docs.aws.amazon.com/bedrock/latest/userguide/conversation-inference.html"""

from msgspec.structs import replace

from wye.dialects.aws_errors import decode_error, encode_error, error_headers
from wye.dialects.bedrock_converse.count import (
    decode_count_request,
    decode_count_response,
    encode_count,
    encode_count_request,
    invoke_body,
)
from wye.dialects.bedrock_converse.decoder import Decoder, sse_decoder
from wye.dialects.bedrock_converse.encoder import Encoder, sse_encoder
from wye.dialects.bedrock_converse.errors import encode_sse_error, encode_stream_error
from wye.dialects.bedrock_converse.name import NAME
from wye.dialects.bedrock_converse.request import decode_request, encode_request
from wye.dialects.bedrock_converse.response import decode_response, decode_usage, encode_response
from wye.dialects.bedrock_converse.tap import SSE_TAP, TAP
from wye.dialects.dialect import EVENT_STREAM, SSE, Dialect

__all__ = [
    "DIALECT",
    "decode_count_response",
    "encode_count_request",
    "invoke_body",
]

_BINARY = Dialect(
    name=NAME,
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    cites=True,
    decode_usage=decode_usage,
    stream_decoder=Decoder,
    stream_encoder=Encoder,
    tap=TAP,
    model_in_path=True,
    framing=EVENT_STREAM,
    request_id_header=b"x-amzn-requestid",
    decode_count=decode_count_request,
    encode_count=encode_count,
    encode_error=encode_error,
    error_headers=error_headers,
    encode_stream_error=encode_stream_error,
    decode_error=decode_error,
)
DIALECT = replace(
    _BINARY,
    as_sse=replace(
        _BINARY,
        framing=SSE,
        tap=SSE_TAP,
        stream_decoder=sse_decoder,
        stream_encoder=sse_encoder,
        encode_stream_error=encode_sse_error,
    ),
)
