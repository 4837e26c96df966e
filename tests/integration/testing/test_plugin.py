"""The pytest plugin, in projects of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from wye.testing import plugin

pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("INFERENCE_SERVICE_URL", "LLM_GATEWAY_URL", "REDIS_URL", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def ran(pytester: pytest.Pytester, program: str, *options: str, **counts: int) -> pytest.RunResult:
    pytester.makepyfile(program)
    plugins = ("-p", "wye.testing.plugin", "-p", "no:cacheprovider")
    done = pytester.runpytest_inprocess(*plugins, "--strict-markers", "-rs", *options)
    done.assert_outcomes(**counts)
    return done


def test_vendors_clients_speak_to_the_fake_provider(pytester: pytest.Pytester) -> None:
    program = """
        import json

        def test_all(openai_client, anthropic_client, bedrock_client, fake_provider, response_validator, sse_parser,
                     chat_request_factory, sample_messages, sample_tools):
            create = openai_client.chat.completions.create
            answer = create(**chat_request_factory.simple())
            assert response_validator.validate_completion(answer)["choices"][0]["message"]["content"] == "4"
            chunks = [chunk.model_dump() for chunk in create(**chat_request_factory.streaming())]
            assert sse_parser.extract_content(chunks) == "1, 2, 3, 4, 5"
            called = create(model="m", messages=[{"role": "user", "content": "weather?"}], tools=sample_tools)
            assert json.loads(called.choices[0].message.tool_calls[0].function.arguments) == {"location": "location"}
            said = anthropic_client.messages.create(model="c", max_tokens=9, messages=sample_messages[1:])
            assert response_validator.validate_message(said)["content"][0]["text"] == "4"
            hello = [{"role": "user", "content": [{"text": "2+2"}]}]
            answer = bedrock_client.converse(modelId="m", messages=hello)
            assert response_validator.validate_converse(answer)["stopReason"] == "end_turn"
            assert fake_provider.counters["calls"] == 5

        def test_each_test_has_its_own(fake_provider, fake_providers):
            assert fake_provider.counters["calls"] == 0
            assert [provider.tag for provider in fake_providers(2)] == ["fake-1", "fake-2"]

        async def ask(client):
            answer = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "2+2"}])
            return answer.choices[0].message.content

        def test_async(async_openai_client):
            import asyncio
            assert [asyncio.run(ask(async_openai_client)) for _ in range(2)] == ["4", "4"]
    """
    ran(pytester, program, passed=3)


def test_requests_of_the_factory(pytester: pytest.Pytester) -> None:
    program = """
        def test_requests(chat_request_factory, sample_messages, sample_tools):
            f = chat_request_factory
            assert f.simple("Hi", model="m")["messages"] == [{"role": "user", "content": "Hi"}]
            assert f.simple("Hi", model="m")["model"] == "m"
            assert [m["role"] for m in f.with_system()["messages"]] == ["system", "user"]
            assert f.streaming()["stream"] is True
            assert f.orchestrated(mode="debate")["orchestration_mode"] == "debate"
            assert (f.code_task()["task_type"], f.code_task(max_tokens=5)["max_tokens"]) == ("code", 5)
            sample_messages[0]["content"] = sample_tools[0]["function"]["name"] = "changed"

        def test_samples_are_new(sample_messages, sample_tools):
            assert sample_messages[0]["content"] != "changed"
            assert sample_tools[0]["function"]["name"] == "get_weather"
    """
    ran(pytester, program, passed=2)


def test_what_is_not_there_is_skipped_with_the_reason(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_GATEWAY_URL", "http://127.0.0.1:1/")
    program = """
        import pytest

        def test_service(skip_if_service_unavailable): assert False
        def test_models(skip_if_no_models): assert False
        def test_gateway(skip_if_gateway_unavailable): assert False
        @pytest.mark.requires_gateway
        def test_marked(): assert False
    """
    monkeypatch.setenv("INFERENCE_SERVICE_URL", "http://127.0.0.1:1")
    done = ran(pytester, program, skipped=4)
    done.stdout.fnmatch_lines_random(
        [
            "*Inference service not available at http://127.0.0.1:1",
            "*LLM Gateway not available at http://127.0.0.1:1",
        ]
    )


def test_the_usual_addresses_are_named() -> None:
    program = Path(plugin.__file__).read_text()
    assert '"http://localhost:8085"' in program
    assert '"http://localhost:8080"' in program


def test_what_is_there_is_used(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    from wye.testing.fake import FakeUpstream, json_body

    def answer(status: str) -> FakeUpstream:
        return FakeUpstream(lambda _: json_body({"data": [{"id": "m", "status": status}]}))

    program = """
        import asyncio

        def test_clients(skip_if_service_unavailable, skip_if_gateway_unavailable, client, gateway_client,
                         async_client):
            assert client.get("/health").status_code == 200
            assert gateway_client.get("/x").json()["data"]
            async def twice():
                return (await async_client.get("/a")).status_code
            assert [asyncio.run(twice()) for _ in range(2)] == [200, 200]

        def test_models(skip_if_no_models): pass
    """
    with answer("loaded") as server, answer("available") as empty:
        monkeypatch.setenv("INFERENCE_SERVICE_URL", server.url)
        monkeypatch.setenv("LLM_GATEWAY_URL", server.url)
        ran(pytester, program, passed=2)
        monkeypatch.setenv("INFERENCE_SERVICE_URL", empty.url)
        done = ran(pytester, program, passed=1, skipped=1)
        done.stdout.fnmatch_lines(["*No models loaded in inference service"])


def test_wye_runs_as_a_process(pytester: pytest.Pytester) -> None:
    program = """
        import pytest

        @pytest.fixture
        def llm_url(wye_server):
            return wye_server.url

        def test_wye(wye_server, openai_client, anthropic_client, bedrock_client):
            hello = [{"role": "user", "content": "2+2"}]
            answer = openai_client.chat.completions.create(model="claude-x", messages=hello, max_tokens=9)
            assert answer.choices[0].message.content == "4"
            said = anthropic_client.messages.create(model="gpt-4o", messages=hello, max_tokens=9)
            assert said.content[0].text == "4"
            hello = [{"role": "user", "content": [{"text": "2+2"}]}]
            model = "anthropic.claude-3-haiku-20240307-v1:0"
            assert bedrock_client.converse(modelId=model, messages=hello)["stopReason"] == "end_turn"
            heard = [call.dialect for call in wye_server.provider.calls]
            assert heard == ["anthropic_messages", "openai_chat", "bedrock_converse"]
    """
    ran(pytester, program, passed=1)


def test_a_configuration_that_is_wrong_is_told(pytester: pytest.Pytester) -> None:
    program = """
        import pytest

        @pytest.fixture(scope="session")
        def wye_config():
            return {"nonsense": 1}

        def test_wye(wye_server): pass
    """
    done = ran(pytester, program, errors=1)
    done.stdout.fnmatch_lines(["*wye serve did not start: *nonsense: unknown setting*"])


def test_redis_and_postgres_are_found(pytester: pytest.Pytester) -> None:
    program = """
        import pytest, psycopg, redis

        @pytest.mark.requires_redis
        @pytest.mark.requires_postgres
        def test_marked(): pass

        def test_both(redis_url, postgres_url):
            with redis.Redis.from_url(redis_url) as client:
                assert client.ping()
            with psycopg.connect(postgres_url) as connection:
                assert connection.execute("select 1").fetchone() == (1,)
    """
    ran(pytester, program, passed=2)


def test_addresses_of_the_environment_are_taken(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://one")
    monkeypatch.setenv("DATABASE_URL", "postgresql://two")
    program = """
        def test_both(redis_url, postgres_url):
            assert (redis_url, postgres_url) == ("redis://one", "postgresql://two")
    """
    ran(pytester, program, passed=1)


def test_live_tests_run_only_when_they_are_asked_for(pytester: pytest.Pytester) -> None:
    program = """
        import pytest

        @pytest.mark.live
        def test_live(): pass

        def test_other(): pass
    """
    done = ran(pytester, program, passed=1, skipped=1)
    done.stdout.fnmatch_lines(["*run with --live-endpoints"])
    ran(pytester, program, "--live-endpoints", passed=2)


def test_nothing_of_wye_is_imported_before_a_test_asks_for_it(tmp_path: Path) -> None:
    program = tmp_path / "test_it.py"
    program.write_text(
        "import sys\n\ndef test_it():\n    found = {m for m in sys.modules if m.partition('.')[0] == 'wye'}\n"
        "    assert found <= {'wye', 'wye.testing', 'wye.testing.plugin'}, found\n"
        "    assert not {'openai', 'anthropic', 'boto3', 'msgspec', 'redis'} & set(sys.modules)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "wye.testing.plugin", "-p", "no:cacheprovider", str(program)]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


LIVE = """
    import openai, pytest

    @pytest.mark.live
    def test_live(openai_client, anthropic_client):
        hello = [{"role": "user", "content": "2+2"}]
        for _ in range(2):
            openai_client.chat.completions.create(model="gpt-4o", messages=hello)
        anthropic_client.messages.create(model="claude", max_tokens=5, messages=hello)

    @pytest.mark.live
    def test_live_stream(openai_client):
        hello = [{"role": "user", "content": "2+2"}]
        list(openai_client.chat.completions.create(model="gpt-4o", messages=hello, stream=True))
"""


def test_live_tests_ask_the_real_provider_throttled_and_tell_what_it_cost(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wye.testing.fake_provider import FakeProvider

    with FakeProvider(api_key="sk-real") as provider:
        for vendor in ("OPENAI", "ANTHROPIC"):
            monkeypatch.setenv(f"{vendor}_BASE_URL", provider.url)
            monkeypatch.setenv(f"{vendor}_API_KEY", "sk-real")
        done = ran(pytester, LIVE, "--live-endpoints", "--live-per-minute", "600", passed=2)
        done.stdout.fnmatch_lines(["4 live calls, * tokens, at most $0.0* of $1.00"])
        at = [call.at for call in provider.calls]
        assert len(at) == 4
        assert at[3] - at[0] > 0.25
        done = ran(pytester, LIVE, "--live-endpoints", "--live-budget", "0.0001", "--live-per-minute", "6000", failed=2)
        done.stdout.fnmatch_lines(["*have spent what they may (--live-budget): 1 live calls*"])
        assert provider.counters["calls"] == 5


def test_live_tests_need_a_key(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    ran(pytester, LIVE, "--live-endpoints", skipped=2).stdout.fnmatch_lines(["*OPENAI_API_KEY is not set"])
