"""OpenAI's embeddings. https://platform.openai.com/docs/api-reference/embeddings"""

from wye.dialects.dialect import EmbeddingDialect
from wye.dialects.openai_embeddings.name import NAME
from wye.dialects.openai_embeddings.request import MAX_INPUTS, decode_request, encode_request
from wye.dialects.openai_embeddings.response import as_asked, decode_response, encode_response, usage_of

DIALECT = EmbeddingDialect(
    name=NAME,
    kin="openai_chat",
    inputs_per_call=MAX_INPUTS,
    decode_request=decode_request,
    encode_request=encode_request,
    decode_response=decode_response,
    encode_response=encode_response,
    usage_of=usage_of,
    as_asked=as_asked,
)
