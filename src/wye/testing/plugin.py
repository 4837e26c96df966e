"""What pytest offers once `wye[test]` is installed: fixtures, markers, and the option --live-endpoints.

Nothing else of Wye is imported until a test uses it. Vendors' clients are those that are installed; a test whose client
is not is skipped with its name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

if TYPE_CHECKING:
    from wye.testing.cassette import Recorder, Replayer
    from wye.testing.chat_requests import ChatRequestFactory
    from wye.testing.fake_provider import FakeProvider
    from wye.testing.live import Budget
    from wye.testing.process import WyeProcess
    from wye.testing.sse_parser import SseParser
    from wye.testing.validators import ResponseValidator

_MARKERS = {
    "unit": "pure code, no I/O",
    "integration": "against a running server",
    "e2e": "a whole flow",
    "performance": "ratios and bounds",
    "contract": "one suite over every implementation",
    "slow": "takes long",
    "live": "asks real providers: runs with --live-endpoints only",
    "mock": "asks the fake provider",
    "requires_model": "needs a model that is loaded",
    "requires_gateway": "needs the gateway at LLM_GATEWAY_URL, else is skipped",
    "requires_redis": "needs a Redis, else is skipped",
    "requires_postgres": "needs a Postgres, else is skipped",
}
_NEEDS = {
    "requires_gateway": "skip_if_gateway_unavailable",
    "requires_redis": "redis_url",
    "requires_postgres": "postgres_url",
}
_PROBE_S = 2.0
_BUDGET: pytest.StashKey[Budget] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("wye", "Wye's test kit")
    group.addoption("--live-endpoints", action="store_true", help="Run tests marked live, against real providers.")
    group.addoption("--live-budget", type=float, default=1.0, metavar="USD", help="What they may spend. [default: 1]")
    group.addoption("--live-per-minute", type=float, default=20.0, metavar="N", help="Their calls. [default: 20]")
    group.addoption("--record-cassettes", action="store_true", help="Ask the real servers, and record their answers.")


def pytest_configure(config: pytest.Config) -> None:
    for name, meaning in _MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--live-endpoints"):
        return
    for item in items:
        if item.get_closest_marker("live"):
            item.add_marker(pytest.mark.skip(reason="asks real providers: run with --live-endpoints"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    budget = config.stash.get(_BUDGET, None)
    if budget is not None:
        terminalreporter.write_line(budget.told())


@pytest.fixture(autouse=True)
def wye_requirements(request: pytest.FixtureRequest) -> None:
    """What the markers `requires_...` of a test stand for."""
    for marker, fixture in _NEEDS.items():
        if request.node.get_closest_marker(marker):
            request.getfixturevalue(fixture)


# Servers


@pytest.fixture
def fake_provider() -> Iterator[FakeProvider]:
    """Every vendor's API without a model, on a free port, with a log of its own."""
    from wye.testing.fake_provider import FakeProvider

    with FakeProvider() as provider:
        yield provider


@pytest.fixture
def fake_providers() -> Iterator[Callable[[int], list[FakeProvider]]]:
    """`fake_providers(3)`: several, whose tags are `fake-1` to `fake-3`."""
    from wye.testing.fake_provider import FakeProvider

    with ExitStack() as stack:
        yield lambda n: [stack.enter_context(FakeProvider(tag=f"fake-{i + 1}")) for i in range(n)]


@pytest.fixture
def cassette(request: pytest.FixtureRequest) -> Iterator[Callable[..., Recorder | Replayer]]:
    """`cassette("https://api.openai.com").url`: that server's answers from `cassettes/` beside the test's file; with
    --record-cassettes from itself, to be recorded there. A request that was never recorded fails the test, and tells
    what differs."""
    from wye.testing.cassette import Recorder, Replayer

    opened: list[Recorder | Replayer] = []
    with ExitStack() as stack:

        def open_cassette(base_url: str, name: str = "") -> Recorder | Replayer:
            stem = re.sub(r"[^\w.-]+", "-", name or request.node.name).strip("-")
            path = request.path.parent / "cassettes" / request.path.stem / f"{stem}.yaml"
            if request.config.getoption("--record-cassettes"):
                found: Recorder | Replayer = Recorder(path, base_url)
            elif path.is_file():
                found = Replayer(path)
            else:
                pytest.fail(f"There is no cassette {path}: record it with --record-cassettes")
            opened.append(stack.enter_context(found))
            return found

        yield open_cassette
    missed = [miss for each in opened for miss in getattr(each, "misses", ())]
    if missed:
        pytest.fail("\n".join(missed), pytrace=False)


@pytest.fixture(scope="session")
def wye_config() -> dict[str, Any] | None:
    """The configuration of `wye_server`, as a `wye.yaml` holds it: override it for another than a fake provider behind
    every vendor's name."""
    return None


@pytest.fixture(scope="session")
def wye_server(wye_config: dict[str, Any] | None) -> Iterator[WyeProcess]:
    """`wye serve` as a process of its own on a free port: `.url`; `.provider` is the fake provider behind it."""
    from wye.testing.process import WyeProcess

    with WyeProcess(wye_config) as server:
        yield server


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """REDIS_URL, or an empty server of this session's own; skips where none is to be had."""
    from wye.testing.services import redis_server

    yield from _service("REDIS_URL", redis_server)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """DATABASE_URL, or an empty server of this session's own; skips where none is to be had."""
    from wye.testing.services import postgres_server

    yield from _service("DATABASE_URL", postgres_server)


def _service(variable: str, start: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    from wye.testing.services import Absent

    if url := _environ(variable, ""):
        yield url
        return
    with ExitStack() as stack:
        try:
            url = stack.enter_context(start())
        except Absent as absent:
            pytest.skip(str(absent))
        yield url


# Where servers are that run already


@pytest.fixture(scope="session")
def inference_service_url() -> str:
    return _environ("INFERENCE_SERVICE_URL", "http://localhost:8085").rstrip("/")


@pytest.fixture(scope="session")
def llm_gateway_url() -> str:
    return _environ("LLM_GATEWAY_URL", "http://localhost:8080").rstrip("/")


@pytest.fixture(scope="session")
def integration_test_timeout() -> float:
    return float(_environ("INTEGRATION_TEST_TIMEOUT", "120"))


@pytest.fixture(scope="session")
def stream_test_timeout() -> float:
    return float(_environ("STREAM_TEST_TIMEOUT", "180"))


@pytest.fixture(scope="session")
def skip_if_service_unavailable(inference_service_url: str) -> None:
    if _get(f"{inference_service_url}/health") is None:
        pytest.skip(f"Inference service not available at {inference_service_url}")


@pytest.fixture(scope="session")
def skip_if_gateway_unavailable(llm_gateway_url: str) -> None:
    if _get(f"{llm_gateway_url}/health") is None:
        pytest.skip(f"LLM Gateway not available at {llm_gateway_url}")


@pytest.fixture(scope="session")
def skip_if_no_models(inference_service_url: str, skip_if_service_unavailable: None) -> None:
    from wye.kernel.json import JsonError, as_list, as_object, decode

    try:
        listed = as_object(decode(_get(f"{inference_service_url}/v1/models") or b"{}")) or {}
    except JsonError:
        listed = {}
    models = [as_object(model) or {} for model in as_list(listed.get("data")) or ()]
    if not any(model.get("status", "loaded") == "loaded" for model in models):
        pytest.skip("No models loaded in inference service")


def _get(url: str) -> bytes | None:
    """None when nobody answers, or answers with an error."""
    try:
        with urlopen(Request(url), timeout=_PROBE_S) as answer:  # noqa: S310 - an address of the tests' own
            return answer.read(1_000_000)
    except (URLError, OSError, ValueError):
        return None


# Clients


@pytest.fixture
def client(inference_service_url: str, integration_test_timeout: float) -> Iterator[Any]:
    """An httpx client of the inference service."""
    with _httpx().Client(base_url=inference_service_url, timeout=integration_test_timeout) as client:
        yield client


@pytest.fixture(scope="session")
def async_client(inference_service_url: str, integration_test_timeout: float) -> Any:
    """The same for asyncio. It keeps no connection, and so belongs to no event loop."""
    httpx = _httpx()
    none = httpx.Limits(max_keepalive_connections=0)
    return httpx.AsyncClient(base_url=inference_service_url, timeout=integration_test_timeout, limits=none)


@pytest.fixture
def gateway_client(llm_gateway_url: str, integration_test_timeout: float) -> Iterator[Any]:
    """An httpx client of the gateway."""
    with _httpx().Client(base_url=llm_gateway_url, timeout=integration_test_timeout) as client:
        yield client


@pytest.fixture
def llm_url(request: pytest.FixtureRequest) -> str:
    """Where the vendors' clients below send their requests: LLM_GATEWAY_URL where it is set, else the fake provider.
    Override it for another server, as in `return wye_server.url`."""
    return _environ("LLM_GATEWAY_URL", "") or request.getfixturevalue("fake_provider").url


@pytest.fixture
def live_endpoint(request: pytest.FixtureRequest) -> Iterator[Callable[[str], str]]:
    """`live_endpoint("https://api.openai.com")`: an address that forwards there, throttled (--live-per-minute) and up
    to what may be spent (--live-budget, counted as if each token were the dearest)."""
    from wye.testing.live import Budget, LiveEndpoint

    config = request.config
    if _BUDGET not in config.stash:
        config.stash[_BUDGET] = Budget(
            float(config.getoption("--live-budget") or 0), float(config.getoption("--live-per-minute") or 1)
        )
    with ExitStack() as stack:
        yield lambda base_url: stack.enter_context(LiveEndpoint(base_url, config.stash[_BUDGET])).url


def _where(request: pytest.FixtureRequest, vendor: str) -> tuple[str, str]:
    """The address and the key for a vendor's client: in tests marked live its vendor's own."""
    if not request.node.get_closest_marker("live"):
        return request.getfixturevalue("llm_url"), _environ("LLM_GATEWAY_API_KEY", "test-key")
    name = f"{vendor.upper()}_API_KEY"
    if not (key := _environ(name, "")):
        pytest.skip(f"{name} is not set")
    base_url = _environ(f"{vendor.upper()}_BASE_URL", f"https://api.{vendor}.com")
    return request.getfixturevalue("live_endpoint")(base_url), key


@pytest.fixture
def openai_client(request: pytest.FixtureRequest, stream_test_timeout: float) -> Iterator[Any]:
    openai = pytest.importorskip("openai")
    url, key = _where(request, "openai")
    with openai.OpenAI(base_url=f"{url}/v1", api_key=key, timeout=stream_test_timeout, max_retries=0) as client:
        yield client


@pytest.fixture
def async_openai_client(request: pytest.FixtureRequest, stream_test_timeout: float) -> Any:
    """It keeps no connection, and so belongs to no event loop."""
    openai = pytest.importorskip("openai")
    url, key = _where(request, "openai")
    each = {"connection": "close"}
    return openai.AsyncOpenAI(
        base_url=f"{url}/v1", api_key=key, timeout=stream_test_timeout, max_retries=0, default_headers=each
    )


@pytest.fixture
def anthropic_client(request: pytest.FixtureRequest, stream_test_timeout: float) -> Iterator[Any]:
    anthropic = pytest.importorskip("anthropic")
    url, key = _where(request, "anthropic")
    with anthropic.Anthropic(base_url=url, api_key=key, timeout=stream_test_timeout, max_retries=0) as client:
        yield client


@pytest.fixture
def bedrock_client(llm_url: str, stream_test_timeout: float) -> Iterator[Any]:
    """boto3's client of Bedrock's runtime. Never live: AWS's signatures do not pass through a server that counts."""
    boto3 = pytest.importorskip("boto3")
    config = pytest.importorskip("botocore.config").Config(
        read_timeout=stream_test_timeout, retries={"total_max_attempts": 1}
    )
    keys = {"aws_access_key_id": "AKIDTEST", "aws_secret_access_key": _environ("LLM_GATEWAY_API_KEY", "test-key")}
    client = boto3.client("bedrock-runtime", endpoint_url=llm_url, region_name="us-east-1", config=config, **keys)
    yield client
    client.close()


def _httpx() -> Any:
    for name in ("httpx2", "httpx"):
        try:
            return __import__(name)
        except ImportError:
            continue
    pytest.skip("httpx is not installed")


def _environ(name: str, otherwise: str) -> str:
    return os.environ.get(name, otherwise)  # noqa: TID251 - of the tests, not of Wye


# Requests and answers


@pytest.fixture
def chat_request_factory() -> ChatRequestFactory:
    """`.simple() .with_system() .streaming() .orchestrated() .code_task()`: bodies for OpenAI's chat."""
    from wye.testing.chat_requests import ChatRequestFactory

    return ChatRequestFactory()


@pytest.fixture(scope="session")
def response_validator() -> ResponseValidator:
    """`.validate_completion(body)` and the like: AssertionErrors that name what is wrong."""
    from wye.testing.validators import ResponseValidator

    return ResponseValidator()


@pytest.fixture(scope="session")
def sse_parser() -> SseParser:
    """`.parse_line() .parse_stream() .extract_content()`"""
    from wye.testing.sse_parser import SseParser

    return SseParser()


@pytest.fixture
def sample_messages() -> list[dict[str, Any]]:
    """A conversation in OpenAI's words."""
    from wye.testing.chat_requests import SAMPLE_MESSAGES

    return [dict(message) for message in SAMPLE_MESSAGES]


@pytest.fixture
def sample_tools() -> list[dict[str, Any]]:
    """`get_weather`, in OpenAI's words."""
    from copy import deepcopy

    from wye.testing.chat_requests import SAMPLE_TOOLS

    return deepcopy(SAMPLE_TOOLS)
