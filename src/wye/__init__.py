"""Wye: one endpoint for every language model, with local inference, documents and a test kit.

Importing this package costs next to nothing: names are resolved when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wye.canon.loss import Loss as Loss
    from wye.canon.loss import Losses as Losses
    from wye.convert import AsyncConvertedStream as AsyncConvertedStream
    from wye.convert import Converted as Converted
    from wye.convert import ConvertedRequest as ConvertedRequest
    from wye.convert import ConvertedStream as ConvertedStream
    from wye.convert import convert_request as convert_request
    from wye.convert import convert_response as convert_response
    from wye.convert import convert_stream as convert_stream
    from wye.convert import detect as detect
    from wye.dialects.dialect import Quirks as Quirks
    from wye.kernel.errors import BadAnswer as BadAnswer
    from wye.kernel.errors import BadRequest as BadRequest
    from wye.kernel.errors import CallerError as CallerError
    from wye.kernel.errors import LossRefused as LossRefused
    from wye.kernel.errors import StreamCut as StreamCut
    from wye.kernel.errors import Unprocessable as Unprocessable
    from wye.kernel.errors import UpstreamError as UpstreamError
    from wye.kernel.errors import UpstreamRefused as UpstreamRefused
    from wye.kernel.errors import WyeError as WyeError
    from wye.wiring import create_app as create_app

__version__ = "0.1.0"

__all__ = [
    "AsyncConvertedStream",
    "BadAnswer",
    "BadRequest",
    "CallerError",
    "Converted",
    "ConvertedRequest",
    "ConvertedStream",
    "Loss",
    "LossRefused",
    "Losses",
    "Quirks",
    "StreamCut",
    "Unprocessable",
    "UpstreamError",
    "UpstreamRefused",
    "WyeError",
    "__version__",
    "convert_request",
    "convert_response",
    "convert_stream",
    "create_app",
    "detect",
]

_HOME_OF = {
    "AsyncConvertedStream": "wye.convert",
    "BadAnswer": "wye.kernel.errors",
    "BadRequest": "wye.kernel.errors",
    "CallerError": "wye.kernel.errors",
    "Converted": "wye.convert",
    "ConvertedRequest": "wye.convert",
    "ConvertedStream": "wye.convert",
    "Loss": "wye.canon.loss",
    "LossRefused": "wye.kernel.errors",
    "Losses": "wye.canon.loss",
    "Quirks": "wye.dialects.dialect",
    "StreamCut": "wye.kernel.errors",
    "Unprocessable": "wye.kernel.errors",
    "UpstreamError": "wye.kernel.errors",
    "UpstreamRefused": "wye.kernel.errors",
    "WyeError": "wye.kernel.errors",
    "convert_request": "wye.convert",
    "convert_response": "wye.convert",
    "convert_stream": "wye.convert",
    "create_app": "wye.wiring",
    "detect": "wye.convert",
}


def __getattr__(name: str) -> Any:
    try:
        home = _HOME_OF[name]
    except KeyError:
        raise AttributeError(f"module 'wye' has no attribute {name!r}") from None
    from importlib import import_module  # noqa: PLC0415 - the reason this function exists

    return getattr(import_module(home), name)
