"""Deployments that need no provider."""

from __future__ import annotations

from typing import Any, cast

from wye.gateway.deployment import Deployment
from wye.gateway.routing.health import Health
from wye.ports.provider import Provider
from wye.ports.transport import Clocks


class Account:
    def __init__(self, name: str) -> None:
        self.name = name


def deployment(name: str, *, model: str = "m", allowed_fails: int | None = 3, **members: Any) -> Deployment:
    health = Health(allowed_fails, 30.0)
    return Deployment(cast(Provider, Account(name)), model, Clocks(), health=health, **members)
