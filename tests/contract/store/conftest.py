from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from wye.drivers.sql.database import Database, database_url
from wye.kernel.secret import Secret


@pytest.fixture(params=["sqlite", "postgres"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/wye.db" if sqlite else request.getfixturevalue("postgres_url")
    made = Database(database_url(Secret(url)))
    yield made
    await made.close()
