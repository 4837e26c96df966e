"""The header `anthropic-beta`: previews that a caller takes part in. https://docs.anthropic.com/en/api/beta-headers"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from wye.canon.loss import Losses
from wye.canon.request import ChatRequest
from wye.dialects.dialect import HeaderCodec

_BETAS = b"anthropic-beta"


def decode_request(request: ChatRequest, headers: Mapping[bytes, bytes]) -> ChatRequest:
    """Those of the header after those that the body has named already, as on Bedrock."""
    named = [beta.strip() for beta in headers.get(_BETAS, b"").decode("latin-1").split(",")]
    betas = dict.fromkeys([*(request.betas or ()), *filter(None, named)])
    return replace(request, betas=list(betas)) if betas else request


def encode_request(request: ChatRequest, losses: Losses) -> tuple[ChatRequest, dict[bytes, bytes]]:
    sendable = [beta for beta in request.betas or () if beta.isascii() and beta.isprintable() and "," not in beta]
    for beta in request.betas or ():
        if beta not in sendable:
            losses.add("anthropic_beta", f"no header can carry {beta!r}", "info")
    headers = {_BETAS: ",".join(sendable).encode()} if sendable else {}
    return replace(request, betas=None), headers


HEADERS = HeaderCodec(decode_request=decode_request, encode_request=encode_request)
