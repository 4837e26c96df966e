"""Whom to trust: the system's certificates, and one more file if the operator says so."""

from __future__ import annotations

import ssl
from pathlib import Path

from wye.kernel.errors import ConfigError


def client_context(ca_file: Path | None) -> ssl.SSLContext:
    """Certificates and host names are always checked. Raises ConfigError when `ca_file` cannot be used."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except OSError as error:
            raise ConfigError(f"The CA file {ca_file} cannot be used: {error.strerror or error}") from error
    return context
