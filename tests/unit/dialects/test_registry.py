from __future__ import annotations

from pathlib import Path

import pytest

import wye.dialects
from wye.dialects.bedrock_embeddings import FAMILIES as EMBEDDING_FAMILIES
from wye.dialects.bedrock_invoke.families import FAMILIES
from wye.dialects.dialect import Dialect, EmbeddingDialect, demand_whole
from wye.dialects.registry import DIALECTS, EMBEDDINGS
from wye.kernel.errors import BadRequest


def test_every_folder_is_a_dialect_under_its_own_name() -> None:
    folders = {path.parent.name for path in Path(wye.dialects.__path__[0]).glob("*/__init__.py")}
    families = {dialect.name for dialect in (*FAMILIES, *EMBEDDING_FAMILIES)}
    assert {*DIALECTS, *EMBEDDINGS} == folders - {"bedrock_invoke", "bedrock_embeddings"} | families
    assert all(name == dialect.name for name, dialect in DIALECTS.items())
    assert all(isinstance(dialect, Dialect) for dialect in DIALECTS.values())
    assert all(name == dialect.name for name, dialect in EMBEDDINGS.items())
    assert all(isinstance(dialect, EmbeddingDialect) for dialect in EMBEDDINGS.values())
    assert {dialect.kin for dialect in EMBEDDINGS.values()} <= {*DIALECTS}


def test_a_request_of_which_its_vendor_keeps_a_part_is_for_that_vendor() -> None:
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}]}
    dialect = DIALECTS["anthropic_messages"]
    demand_whole(dialect.decode_request({**body, "thread": None}), dialect)
    with pytest.raises(BadRequest) as refused:
        demand_whole(dialect.decode_request({**body, "thread": {"type": "create"}}), dialect)
    assert (refused.value.param, refused.value.code) == ("thread", "thread_unsupported_request")
