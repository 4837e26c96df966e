"""What is told of a deployment."""

from __future__ import annotations

from typing import cast

import pytest

from wye.gateway.deployment import Deployment
from wye.ports.provider import Provider
from wye.ports.transport import Clocks


class Upstream:
    name = "up"


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("m", b"up/m"),
        ("50%d%", b"up/50%d%"),
        ("é\r\nx: y", b"up/???x: y"),
    ],
    ids=["plain", "percent", "not to be said in a header"],
)
def test_a_deployment_is_named_with_the_number_of_attempts(model: str, told: bytes) -> None:
    deployment = Deployment(cast(Provider, Upstream()), model, Clocks())
    assert deployment.told % 3 == b"x-wye-deployment: %b\r\nx-wye-attempts: 3\r\n" % told
    assert deployment.told_first == deployment.told % 1
