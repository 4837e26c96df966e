"""Data URLs, in which OpenAI's dialects say bytes. https://www.rfc-editor.org/rfc/rfc2397"""

from __future__ import annotations

import re

from wye.canon.parts import Base64, Url

_DATA_URL = re.compile(r"data:([^;,]*)((?:;[^;,]*)*);base64,")


def decode_url(url: str) -> Base64 | Url:
    """A data URL as its bytes, any other as itself."""
    found = _DATA_URL.match(url)
    if found is None or found[2]:
        return Url(url)
    return Base64(url[found.end() :], found[1] or None)


def encode_url(source: Base64 | Url, default_type: str) -> str:
    if isinstance(source, Url):
        return source.url
    return f"data:{source.media_type or default_type};base64,{source.data}"
