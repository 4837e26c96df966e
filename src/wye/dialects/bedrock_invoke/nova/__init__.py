"""Amazon Nova. https://docs.aws.amazon.com/nova/latest/userguide/complete-request-schema.html"""

from wye.dialects.bedrock_invoke.chunks import encode_stream_error
from wye.dialects.bedrock_invoke.family import bedrock_family
from wye.dialects.bedrock_invoke.nova.name import NAME
from wye.dialects.bedrock_invoke.nova.request import decode_request, encode_request
from wye.dialects.bedrock_invoke.nova.response import decode_response, decode_usage, encode_response
from wye.dialects.bedrock_invoke.nova.stream import Decoder, Encoder

DIALECT = bedrock_family(
    name=NAME,
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    decode_usage=decode_usage,
    chunk_reader=Decoder,
    stream_encoder=lambda request, losses: Encoder(losses),
    encode_stream_error=encode_stream_error,
)
