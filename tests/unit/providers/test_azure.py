"""Azure OpenAI in its two forms."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.providers.test_upstream import Line
from wye.dialects.dialect import Quirks
from wye.dialects.registry import DIALECTS
from wye.kernel.errors import ConfigError, NoDeployment
from wye.kernel.secret import Secret
from wye.ports.provider import Call
from wye.ports.transport import Origin
from wye.providers.azure import AzureProvider
from wye.providers.rows import ROWS

RESOURCE = "https://lab.openai.azure.com"


def provider(line: Line | None = None, **members: Any) -> AzureProvider:
    given: dict[str, Any] = {
        "base_url": RESOURCE,
        "api_version": None,
        "api_key": Secret("k-1"),
        "bearer_token": None,
        "headers": {},
        "quirks": Quirks(),
        **members,
    }
    row = ROWS["azure"]
    return AzureProvider("azure-eu", row, DIALECTS, line or Line(), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("base_url", "api_version", "target"),
    [
        (RESOURCE, None, b"/openai/v1/chat/completions"),
        (RESOURCE, "v1", b"/openai/v1/chat/completions"),
        (RESOURCE, "preview", b"/openai/v1/chat/completions?api-version=preview"),
        (RESOURCE, "2024-10-21", b"/openai/deployments/mini%20prod%2F1/chat/completions?api-version=2024-10-21"),
        (
            f"{RESOURCE}/openai/v1/",
            "2026-10-01-preview",
            b"/openai/deployments/mini%20prod%2F1/chat/completions?api-version=2026-10-01-preview",
        ),
        (f"{RESOURCE}/openai/v1", None, b"/openai/v1/chat/completions"),
        (f"{RESOURCE}/openai", None, b"/openai/v1/chat/completions"),
        (f"{RESOURCE}/gate/openai", "2024-10-21", b"/gate/openai/deployments/mini%20prod%2F1/chat/completions"),
    ],
)
async def test_where_a_deployment_is_called(base_url: str, api_version: str | None, target: bytes) -> None:
    line = Line()
    await provider(line, base_url=base_url, api_version=api_version).call(Call("openai_chat", "mini prod/1", b"{}"))
    origin, method, sent, _, _ = line.sent[0]
    assert (origin, method) == (Origin("https", "lab.openai.azure.com", 443), b"POST")
    assert sent.startswith(target)
    assert (b"api-version" in sent) == (api_version not in (None, "v1"))


async def test_a_key_or_a_token_of_entra_id() -> None:
    line = Line()
    await provider(line).call(Call("openai_chat", "m", b"{}"))
    assert "api-key: k-1" in line.lines()
    await provider(line, bearer_token=Secret("t-1")).call(Call("openai_chat", "m", b"{}"))
    assert "authorization: Bearer t-1" in line.lines()
    assert not any("k-1" in sent for sent in line.lines())
    with pytest.raises(NoDeployment, match="AZURE_OPENAI_API_KEY"):
        await provider(line, api_key=None).call(Call("openai_chat", "m", b"{}"))


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"base_url": ""}, "base_url is required"),
        ({"api_version": "latest-2024"}, "must be a date like 2024-10-21, or 'preview'"),
        ({"api_version": "2024-10-21&x=y"}, "must be a date"),
    ],
)
def test_what_cannot_be(members: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        provider(**members)
