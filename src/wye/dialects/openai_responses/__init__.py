"""OpenAI's Responses API. https://platform.openai.com/docs/api-reference/responses"""

from wye.dialects.dialect import Dialect
from wye.dialects.openai_errors import decode_error, encode_error
from wye.dialects.openai_responses.conversation import continued, items_of, page_of, with_ids
from wye.dialects.openai_responses.decoder import Decoder
from wye.dialects.openai_responses.encoder import Encoder
from wye.dialects.openai_responses.errors import encode_stream_error
from wye.dialects.openai_responses.name import NAME
from wye.dialects.openai_responses.request import decode_request, encode_request
from wye.dialects.openai_responses.response import (
    decode_response,
    decode_usage,
    echo,
    encode_count,
    encode_response,
)
from wye.dialects.openai_responses.tap import TAP

__all__ = ["DIALECT", "continued", "items_of", "page_of", "with_ids"]

DIALECT = Dialect(
    name=NAME,
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    custom_tools=True,
    kept_by_vendor=dict.fromkeys(("previous_response_id", "conversation", "prompt"), "unsupported_content"),
    echo=echo,
    decode_usage=decode_usage,
    stream_decoder=Decoder,
    stream_encoder=Encoder,
    tap=TAP,
    decode_count=decode_request,
    encode_count=encode_count,
    encode_error=encode_error,
    encode_stream_error=encode_stream_error,
    decode_error=decode_error,
)
