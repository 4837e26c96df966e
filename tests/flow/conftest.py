"""Whole requests through Wye, with fake providers behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from wye.testing.fake import FakeUpstream
from wye.testing.fake_provider import FakeProvider
from wye.testing.server import WyeServer

Start = Callable[..., WyeServer]

PATIENT = {"connect_s": 60, "headers_s": 60, "first_token_s": 60, "gap_s": 60}


@pytest.fixture
def upstream(fake_provider: FakeProvider) -> FakeProvider:
    """It answers by itself; `queue` and `script` say bytes in its place."""
    return fake_provider


@pytest.fixture
def second() -> Iterator[FakeProvider]:
    with FakeProvider(tag="second") as provider:
        yield provider


@pytest.fixture
def start() -> Iterator[Start]:
    """`start(openai=fake, ...)`: a server whose model `m` is answered by these upstreams, in order, by their kind."""
    with ExitStack() as stack:

        def start(
            *upstreams: tuple[str, FakeUpstream],
            clocks: dict[str, float] | None = None,
            route: dict[str, Any] | None = None,
            deployment: dict[str, Any] | None = None,
            **config: Any,
        ) -> WyeServer:
            providers: dict[str, Any] = {}
            deployments: list[dict[str, Any]] = []
            for i, (kind, fake) in enumerate(upstreams):
                base = f"{fake.url}/v1" if kind == "openai" else fake.url
                providers[f"{kind}{i}"] = {"kind": kind, "base_url": base, "api_key": "sk-upstream"}
                deployments.append(
                    {"provider": f"{kind}{i}", "model": f"up-{kind}", "clocks": clocks or PATIENT, **(deployment or {})}
                )
            return stack.enter_context(
                WyeServer(
                    {
                        "local": {"enabled": False},
                        "providers": providers,
                        "routes": {"m": {"deployments": deployments, **(route or {})}} if deployments else {},
                        **config,
                    }
                )
            )

        yield start
