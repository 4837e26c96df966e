"""What every test may use. Nothing here starts anything before a test asks for it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wye.kernel import clock
from wye.testing.plugin import fake_provider, fake_providers

if TYPE_CHECKING:
    from tests.bucket import Bucket
    from tests.postgres import Postgres
    from tests.valkey import Valkey

__all__ = ("fake_provider", "fake_providers")  # also where the installation is older than the plugin's entry point

Later = Callable[[float], None]
ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"
MEASURED_GOLDEN = ("test_golden_", "test_odd_values")
QUICK = "not requires_model and not sweep"
"""The kind that is most of all tests."""
WHOLLY_WITH_MODELS = "\npytestmark = [pytest.mark.requires_model"
KINDS = {"golden": "unit", "fidelity": "unit", "flow": "integration"}
"""What the tests of a folder are, where the folder has another name."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A run of one kind reads only the files that have it: to read all takes longer than many a kind takes to run."""
    wanted = config.option.markexpr
    if not collection_path.match("test_*.py"):
        return None
    if wanted == QUICK:
        return _is_swept(collection_path) or WHOLLY_WITH_MODELS in collection_path.read_text() or None
    if wanted in ("requires_model", "sweep"):
        return not _may_hold(collection_path, wanted) or None
    return None


@cache
def _may_hold(file: Path, kind: str) -> bool:
    if kind == "sweep" and _is_swept(file):
        return True
    return ("requires_model" if kind == "requires_model" else "hypothesis") in file.read_text()


def _is_swept(file: Path) -> bool:
    """Whether all its tests are sweeps."""
    folder = file.parent.name
    return folder in ("fidelity", "performance") or (folder == "golden" and not file.name.startswith(MEASURED_GOLDEN))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what each test is, by its folder, and the sweeps: hypothesis, what is carried between dialects, recordings,
    corpora said in every dialect, and load."""
    for item in items:
        room = item.path.relative_to(ROOT / "tests").parts[0]
        if room != "meta":
            item.add_marker(KINDS.get(room, room))
        if _is_swept(item.path) or getattr(getattr(item, "function", None), "is_hypothesis_test", False):
            item.add_marker("sweep")
        for kind in ("requires_model", "sweep"):
            if item.get_closest_marker(kind) is not None and not _may_hold(item.path, kind):
                raise pytest.UsageError(f"{item.path} has tests of the kind {kind}, but nothing in it tells so")


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """A run in a shell's background inherits that SIGINT is ignored, and so would the commands that tests interrupt."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], None]]:
    """What tests keep is not in the home of whoever runs them."""
    homes = tmp_path_factory.mktemp("homes")
    with pytest.MonkeyPatch.context() as patch:
        home: Path | None = None

        def renew() -> None:
            nonlocal home
            if home is None or home.exists():
                home = homes / str(len([*homes.iterdir()]))
                patch.setenv("HOME", str(home))
                patch.setenv("WYE_HOME", str(home / "wye"))

        renew()
        yield renew


@pytest.fixture(autouse=True)
def _home(_homes: Callable[[], None]) -> None:
    """Nor does one find what another has kept: a server opens it when it starts, and goes on working at it."""
    _homes()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Later:
    """`later(60)`: a minute has passed, for all that this process serves, too. Leases, cool-downs and limits so
    end where a test says it, and not where the machine stands still."""
    turned_s = 0.0
    monotonic_s = clock.monotonic_s

    def later(seconds: float) -> None:
        nonlocal turned_s
        turned_s += seconds

    monkeypatch.setattr(clock, "monotonic_s", lambda: monotonic_s() + turned_s)
    return later


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of recorded provider answers, where a checkout has it beside it."""
    folder = SHARED / "recordings"
    if not (folder / "index.json").is_file():
        pytest.skip("no recordings beside this checkout (../shared/recordings)")
    return folder


@pytest.fixture(scope="session")
def captures() -> Path:
    """The folder of captured client requests, where a checkout has it beside it."""
    folder = SHARED / "captures"
    if not folder.is_dir():
        pytest.skip("no captures beside this checkout (../shared/captures)")
    return folder


@pytest.fixture(scope="session")
def two_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `local.models_dir` with the file of Qwen2.5-Coder-0.5B; SmolLM2's is in the box."""
    from wye.catalog.local_models import CARDS
    from wye.engines.weights import LocalWeights

    folder = tmp_path_factory.mktemp("models")
    LocalWeights(folder).fetch(CARDS["qwen2.5-coder-0.5b"])
    return folder


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    from tests.valkey import shared_server

    with shared_server() as url:
        yield url


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """A real Redis or Valkey, empty."""
    from redis import Redis

    from tests.valkey import PATIENT

    with Redis.from_url(redis_server) as client:
        client.flushdb()
    return f"{redis_server}{'&' if '?' in redis_server else '?'}{PATIENT}"


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    """A server of the test's own, to kill and to restart."""
    from tests.valkey import Valkey

    server = Valkey()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def s3() -> Iterator[Bucket]:
    from tests.bucket import bucket

    with bucket() as made:
        yield made


@pytest.fixture
def bucket(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A bucket of an S3 on this machine, and keys for it in the environment."""
    from tests.bucket import KEYS

    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return s3


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    from tests.postgres import shared_server

    with shared_server() as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """An empty database of a real Postgres."""
    from tests.postgres import own_database

    with own_database(postgres_server) as url:
        yield url


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """A server of the test's own, to stop and to restart."""
    from tests.postgres import Postgres

    server = Postgres()
    yield server
    server.remove()
