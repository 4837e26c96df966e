from __future__ import annotations

from pathlib import Path

import wye.dialects
from wye.dialects.bedrock_invoke.families import FAMILIES
from wye.dialects.dialect import Dialect
from wye.dialects.registry import DIALECTS


def test_every_folder_is_a_dialect_under_its_own_name() -> None:
    folders = {path.parent.name for path in Path(wye.dialects.__path__[0]).glob("*/__init__.py")}
    families = {dialect.name for dialect in FAMILIES}
    assert {*DIALECTS} == folders - {"bedrock_invoke"} | families
    assert all(name == dialect.name for name, dialect in DIALECTS.items())
    assert all(isinstance(dialect, Dialect) for dialect in DIALECTS.values())
