"""Wye: one endpoint for every language model, with local inference, documents and a test kit.

Importing this package costs next to nothing: names are resolved when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wye.wiring import create_app as create_app

__version__ = "0.1.0"
__all__ = ["__version__", "create_app"]

_HOME_OF = {"create_app": "wye.wiring"}


def __getattr__(name: str) -> Any:
    try:
        home = _HOME_OF[name]
    except KeyError:
        raise AttributeError(f"module 'wye' has no attribute {name!r}") from None
    from importlib import import_module  # noqa: PLC0415 - the reason this function exists

    return getattr(import_module(home), name)
