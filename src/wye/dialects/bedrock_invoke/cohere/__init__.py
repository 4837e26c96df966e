"""Cohere's Command R and R+.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-cohere-command-r-plus.html
"""

from wye.dialects.bedrock_invoke.chunks import encode_stream_error
from wye.dialects.bedrock_invoke.cohere.name import NAME
from wye.dialects.bedrock_invoke.cohere.request import decode_request, encode_request
from wye.dialects.bedrock_invoke.cohere.response import decode_response, encode_response
from wye.dialects.bedrock_invoke.cohere.stream import Decoder, Encoder
from wye.dialects.bedrock_invoke.family import bedrock_family

DIALECT = bedrock_family(
    name=NAME,
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    chunk_reader=Decoder,
    stream_encoder=lambda request, losses: Encoder(losses),
    encode_stream_error=encode_stream_error,
)
