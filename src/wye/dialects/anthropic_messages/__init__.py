"""Anthropic's Messages API. https://docs.anthropic.com/en/api/messages"""

from wye.dialects.anthropic_messages.decoder import Decoder
from wye.dialects.anthropic_messages.encoder import Encoder
from wye.dialects.anthropic_messages.errors import decode_error, encode_error, encode_stream_error
from wye.dialects.anthropic_messages.headers import HEADERS
from wye.dialects.anthropic_messages.name import NAME
from wye.dialects.anthropic_messages.request import (
    decode_count_request,
    decode_request,
    encode_count_request,
    encode_request,
)
from wye.dialects.anthropic_messages.response import (
    decode_count_response,
    decode_response,
    decode_usage,
    encode_count,
    encode_response,
)
from wye.dialects.anthropic_messages.tap import TAP
from wye.dialects.dialect import Dialect

__all__ = [
    "DIALECT",
    "decode_count_response",
    "encode_count_request",
]

DIALECT = Dialect(
    name=NAME,
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    cites=True,
    decode_usage=decode_usage,
    # The vendor's own client understands this code, and goes on without a thread.
    kept_by_vendor={"thread": "thread_unsupported_request"},
    stream_decoder=Decoder,
    stream_encoder=Encoder,
    tap=TAP,
    headers=HEADERS,
    request_id_header=b"request-id",
    decode_count=decode_count_request,
    encode_count=encode_count,
    encode_error=encode_error,
    encode_stream_error=encode_stream_error,
    decode_error=decode_error,
)
