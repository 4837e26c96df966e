"""OpenAI's older API, which continues a text. https://platform.openai.com/docs/api-reference/completions"""

from functools import partial

from wye.dialects.dialect import Dialect
from wye.dialects.openai_completions.decoder import Decoder
from wye.dialects.openai_completions.encoder import Encoder
from wye.dialects.openai_completions.name import NAME
from wye.dialects.openai_completions.request import decode_request, encode_request, split
from wye.dialects.openai_completions.response import decode_response, echo, encode_response
from wye.dialects.openai_errors import decode_error, encode_error, encode_stream_error
from wye.dialects.openai_tap import tap_of
from wye.dialects.openai_usage import decode_usage

DIALECT = Dialect(
    name=NAME,
    decode_request=decode_request,
    encode_request=encode_request,
    split=split,
    decode_response=decode_response,
    encode_response=encode_response,
    echo=echo,
    decode_usage=partial(decode_usage, dialect=NAME),
    stream_decoder=Decoder,
    stream_encoder=Encoder,
    tap=tap_of(decode_response),
    encode_error=encode_error,
    encode_stream_error=encode_stream_error,
    decode_error=decode_error,
)
