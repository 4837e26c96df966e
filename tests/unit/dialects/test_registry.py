from __future__ import annotations

from pathlib import Path

import pytest

import wye.dialects
from wye.dialects.bedrock_invoke.families import FAMILIES
from wye.dialects.dialect import Dialect, demand_whole
from wye.dialects.registry import DIALECTS
from wye.kernel.errors import BadRequest


def test_every_folder_is_a_dialect_under_its_own_name() -> None:
    folders = {path.parent.name for path in Path(wye.dialects.__path__[0]).glob("*/__init__.py")}
    families = {dialect.name for dialect in FAMILIES}
    assert {*DIALECTS} == folders - {"bedrock_invoke"} | families
    assert all(name == dialect.name for name, dialect in DIALECTS.items())
    assert all(isinstance(dialect, Dialect) for dialect in DIALECTS.values())


def test_a_request_of_which_its_vendor_keeps_a_part_is_for_that_vendor() -> None:
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    dialect = DIALECTS["anthropic_messages"]
    demand_whole(dialect.decode_request({**body, "thread": None}), dialect)
    with pytest.raises(BadRequest) as refused:
        demand_whole(dialect.decode_request({**body, "thread": {"type": "create"}}), dialect)
    assert (refused.value.param, refused.value.code) == ("thread", "thread_unsupported_request")
