"""Sessions recorded once and replayed: the same bytes, no secrets, and a clear difference for what was never asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3
import openai
import pytest
from botocore.config import Config

from tests import wire
from wye.kernel.errors import ConfigError
from wye.testing.cassette import Recorder, Replayer, load, scrubbed
from wye.testing.fake import FakeUpstream, json_body
from wye.testing.fake_provider import FakeProvider

pytest_plugins = ["pytester"]

KEY = "sk-proj-very-secret-1234567890"
ASK = {"model": "gpt-4o", "messages": [{"role": "user", "content": "What is 2+2?"}]}
CHAT = "/v1/chat/completions"


def ask(url: str, body: Any = ASK, path: str = CHAT, key: str = KEY) -> tuple[int, dict[str, str], bytes]:
    return wire.call(url, path, body, headers={"authorization": f"Bearer {key}"})


@pytest.mark.parametrize("base", ["", "/v1", "/v1/"])
@pytest.mark.parametrize("stream", [False, True])
def test_what_was_heard_once_is_heard_again(stream: bool, base: str, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "one.yaml"
    body = {**ASK, "stream": stream}
    with FakeProvider() as provider, Recorder(path, provider.url + base) as recorder:
        first = ask(recorder.url, body)
        assert provider.counters["calls"] == 1
    with Replayer(path) as replayer:
        again = [ask(replayer.url, body, key="another-key") for _ in range(3)]
        reordered = ask(replayer.url, dict(reversed(body.items())))
    assert {(status, data) for status, _, data in (*again, reordered)} == {(200, first[2])}
    assert again[0][1]["content-type"] == first[1]["content-type"]
    assert replayer.misses == []
    assert replayer.unused() == []


def test_answers_come_in_their_order_and_the_last_again(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    with FakeUpstream() as upstream, Recorder(path, upstream.url) as recorder:
        upstream.queue += [json_body({"n": 1}), json_body({"n": 2}, 429, **{"retry-after": "1"}), json_body({"n": 3})]
        for _ in range(3):
            ask(recorder.url)
    with Replayer(path) as replayer:
        assert [(status, json.loads(data)["n"]) for status, _, data in (ask(replayer.url) for _ in range(4))] == [
            (200, 1),
            (429, 2),
            (200, 3),
            (200, 3),
        ]
        assert len(replayer.interactions) == 3


def test_no_secret_is_written(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    body = {**ASK, "metadata": {"api_key": "plain words", "note": f"my key is {KEY}", "aws": "AKIAIOSFODNN7EXAMPLE"}}
    headers = {"authorization": f"Bearer {KEY}", "cookie": "session=abcdef", "x-api-key": "own-key-1234"}
    echo = json_body({"you": "own-key-1234", "text": f"Bearer {KEY}"}, **{"set-cookie": "a=b", "x-request-id": "r1"})
    with FakeUpstream(lambda _: echo) as upstream, Recorder(path, upstream.url) as recorder:
        wire.call(recorder.url, f"{CHAT}?api_key=hidden-in-query&x=1", body, headers=headers)
        sent = upstream.requests[0].headers
        assert (sent["authorization"], sent["x-api-key"]) == (f"Bearer {KEY}", "own-key-1234")
    text = path.read_text()
    for secret in (KEY, "abcdef", "own-key-1234", "hidden-in-query", "plain words", "AKIAIOSFODNN7EXAMPLE", "a=b"):
        assert secret not in text
    assert "x-request-id: r1" in text
    with Replayer(path) as replayer:
        assert wire.call(replayer.url, f"{CHAT}?api_key=other&x=1", body, headers=headers)[0] == 200


def test_a_request_that_changed_is_told_with_what_changed(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    other = {"model": "text-embedding", "input": "a"}
    with FakeProvider() as provider, Recorder(path, provider.url) as recorder:
        ask(recorder.url)
        ask(recorder.url, other, "/v1/embeddings")
    changed = {"model": "gpt-5", "messages": [{"role": "user", "content": "What is 2+3?", "name": "x"}]}
    with Replayer(path) as replayer:
        status, _, said = ask(replayer.url, changed)
        again = ask(replayer.url)
    assert (status, again[0]) == (400, 200)
    assert json.loads(said)["error"]["message"] == replayer.misses[0]
    assert replayer.misses[0].splitlines() == [
        "POST /v1/chat/completions is not in c.yaml. Of the nearest request there it differs in",
        '  messages[0].content: recorded "What is 2+2?", asked "What is 2+3?"',
        '  messages[0].name: not recorded, asked "x"',
        '  model: recorded "gpt-4o", asked "gpt-5"',
    ]
    assert [item.path for item in replayer.unused()] == ["/v1/embeddings"]
    with Replayer(path) as replayer:
        wire.call(replayer.url, "/v1/models")
        assert "method: recorded POST, asked GET" in replayer.misses[0]
        assert "path: recorded" in replayer.misses[0]


def test_vendors_clients_do_not_ask_again_after_a_miss(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("cassette: 1\ninteractions: []\n")
    with Replayer(path) as replayer, openai.OpenAI(base_url=f"{replayer.url}/v1", api_key="k") as client:
        with pytest.raises(openai.BadRequestError, match="the cassette is empty"):
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])
        assert len(replayer.requests) == 1


def test_binary_streams_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.yaml"

    def converse(url: str) -> list[Any]:
        once = Config(retries={"total_max_attempts": 1})
        keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
        client = boto3.client("bedrock-runtime", endpoint_url=url, region_name="us-east-1", config=once, **keys)
        messages = [{"role": "user", "content": [{"text": "Count from 1 to 5"}]}]
        return list(client.converse_stream(modelId="m", messages=messages)["stream"])

    with FakeProvider() as provider, Recorder(path, provider.url) as recorder:
        first = converse(recorder.url)
    assert "!!binary" in path.read_text()
    with Replayer(path) as replayer:
        assert converse(replayer.url) == first


def test_what_breaks_off_is_not_recorded(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    with FakeProvider() as provider, Recorder(path, provider.url) as recorder:
        provider.fault = "cut"
        with pytest.raises((ConnectionError, wire.http.client.HTTPException)):
            ask(recorder.url, {**ASK, "stream": True})
        assert not path.exists()
        provider.fault = None
        ask(recorder.url)
        assert len(load(path)) == 1
    with Recorder(tmp_path / "d.yaml", "http://127.0.0.1:1") as recorder:
        status, _, said = ask(recorder.url)
        assert (status, "Cannot reach" in said.decode()) == (502, True)
    assert not (tmp_path / "d.yaml").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "No such file"),
        ("- [", "is no cassette"),
        ("cassette: 1", "missing required field"),
        ("cassette: 1\ninteractions: []\nx: 1", "unknown field"),
        (
            "cassette: 1\ninteractions: [{method: GET, path: /, headers: {}, request: null, status: 200, "
            "answer_headers: {}, answer: [5]}]",
            "list of texts",
        ),
    ],
)
def test_a_file_that_is_wrong_says_so(text: str | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        Replayer(path)


def test_an_address_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no address"):
        Recorder(tmp_path / "c.yaml", "api.openai.com")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("sk-ant-api03-abcdefghijklmnop", "***"),
        ("Bearer abcdefgh.ijkl", "***"),
        ("task-force sketches", "task-force sketches"),
        ({"password": "x", "Api-Key": "y", "token_count": 7}, {"password": "***", "Api-Key": "***", "token_count": 7}),
        (
            {"authorization": None, "list": ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx.sig_nature", 1.5]},
            {"authorization": None, "list": ["***", 1.5]},
        ),
        (b"bytes", b"bytes"),
    ],
)
def test_what_looks_like_a_key_is_masked(value: Any, expected: Any) -> None:
    assert scrubbed(value) == expected


def test_the_fixture_records_replays_and_fails(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    program = """
        import os
        from urllib.request import Request, urlopen
        from urllib.error import HTTPError

        def test_it(cassette):
            server = cassette(os.environ["REAL"])
            body = os.environ.get("BODY", '{"model": "m", "messages": [{"role": "user", "content": "2+2"}]}')
            request = Request(server.url + "/v1/chat/completions", body.encode(), {"content-type": "application/json"})
            try:
                assert b'"content":"4"' in urlopen(request).read()
            except HTTPError as error:
                error.close()
    """
    pytester.makepyfile(test_some=program)
    options = ("-p", "wye.testing.plugin", "-p", "no:cacheprovider")
    monkeypatch.setenv("REAL", "http://127.0.0.1:1")
    done = pytester.runpytest_inprocess(*options)
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(
        ["*There is no cassette *cassettes/test_some/test_it.yaml: record it with --record-cassettes"]
    )
    with FakeProvider() as provider:
        monkeypatch.setenv("REAL", provider.url)
        pytester.runpytest_inprocess(*options, "--record-cassettes").assert_outcomes(passed=1)
    pytester.runpytest_inprocess(*options).assert_outcomes(passed=1)
    monkeypatch.setenv("BODY", '{"model": "other"}')
    done = pytester.runpytest_inprocess(*options)
    done.assert_outcomes(passed=1, errors=1)
    done.stdout.fnmatch_lines(['*model: recorded "m", asked "other"'])
