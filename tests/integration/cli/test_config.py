"""`wye config`: settings that are kept, shown without their secrets, and tried at AWS."""

from __future__ import annotations

import json
import os
import pty
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import wire
from tests.fake_aws import ROLE, USER, FakeAws
from tests.integration.cli.conftest import Run, Serve, says
from wye.testing.fake import FakeAnswer, FakeUpstream

KEY = "sk-a-very-secret-key"


@pytest.fixture
def aws(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeAws]:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    with FakeAws(AKIDUSER="user-secret") as aws:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", aws.url)
        yield aws


def saved(folder: Path) -> Path:
    return folder / "home" / "settings.yaml"


def test_a_saved_setting_counts_in_the_next_run(run: Run, here: Run, folder: Path) -> None:
    done = run("config", "set", "--key", "openai_api_key", "--value", KEY)
    assert (done.returncode, done.stdout) == (0, "Configuration saved\n")
    assert stat.S_IMODE(saved(folder).stat().st_mode) == 0o600
    assert here("config", "set", "--key", "server.port", "--value", "9000").returncode == 0
    done = here("config", "show")
    assert "providers.openai.api_key = sk-***\n" in done.stdout
    assert "server.port = 9000\n" in done.stdout
    assert str(saved(folder)) in done.stderr
    assert KEY not in done.stdout + done.stderr
    assert here("config", "get", "server.port").stdout == "9000\n"
    assert here("config", "get", "OPENAI_API_KEY").stdout == "sk-***\n"


def test_a_server_takes_what_is_saved(run: Run, serve: Serve) -> None:
    run("config", "set", "--key", "API_KEY", "--value", KEY)
    url = serve().url
    assert wire.call(url, "/v1/models")[0] == 401
    assert wire.call(url, "/v1/models", headers={"x-api-key": KEY})[0] == 200


def test_unset_forgets(here: Run, folder: Path) -> None:
    for key, value in (("server.port", "9000"), ("openai_api_key", KEY), ("groq_api_key", KEY)):
        here("config", "set", "--key", key, "--value", value)
    assert here("config", "unset", "OPENAI_API_KEY").stdout == "Configuration saved\n"
    assert here("config", "unset", "server.port").returncode == 0
    assert saved(folder).read_text() == f"providers:\n  groq:\n    api_key: {KEY}\n"
    says(here("config", "unset", "server.port"), "server.port is not saved")
    says(here("config", "unset", "server"), "server is not saved")
    assert here("config", "unset", "providers").returncode == 0
    assert saved(folder).read_text() == "{}\n"


def test_without_a_key_the_usual_settings_are_asked_for(folder: Path) -> None:
    answers = f"{KEY}\n\nAKIDUSER\nuser-secret\neu-west-1\n"
    command = [sys.executable, "-m", "wye", "config", "set"]
    done = subprocess.run(command, input=answers, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("Configuration saved\n")
    for asked in ("OpenAI API key", "API key that callers", "AWS access key id", "AWS secret access key", "AWS region"):
        assert asked in done.stdout
    assert "server" not in saved(folder).read_text()
    assert "region: eu-west-1" in saved(folder).read_text()
    done = subprocess.run(command, input="\n" * 5, capture_output=True, text=True, timeout=60, check=False)
    assert f"api_key: {KEY}" in saved(folder).read_text()
    done = subprocess.run(command, input="", capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)


def test_a_key_is_typed_unseen(folder: Path) -> None:
    mine, theirs = pty.openpty()
    command = [sys.executable, "-m", "wye", "config", "set", "--key", "openai_api_key"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
        os.close(theirs)
        shown = b""
        while b": " not in shown:
            shown += os.read(mine, 1000)
        os.write(mine, f"{KEY}\n".encode())
        while b"saved" not in shown:
            shown += os.read(mine, 1000)
        assert process.wait(60) == 0
    os.close(mine)
    assert KEY.encode() not in shown
    assert KEY in saved(folder).read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("set", "--key", "server.prot", "--value", "1"), ("server.prot", "did you mean 'port'")),
        (("set", "--key", "server.port", "--value", "many"), ("server.port",)),
        (("set", "--key", "server.port", "--value", "-1"), ("at least 0",)),
        (("set", "--key", "server", "--value", "x"), ("server: must be a section",)),
        (("set", "--key", "providers.opnai.api_key", "--value", KEY), ("unknown kind 'opnai'",)),
        (("get", "server.prot"), ("server.prot is not set. Did you mean server.port?",)),
        (("get", "xyz"), ("xyz is not set.",)),
        (("test-aws", "--provider", "openai"), ("'openai' is no provider of kind bedrock",)),
    ],
)
def test_a_mistake_is_one_clear_line_and_saves_nothing(
    arguments: tuple[str, ...], words: tuple[str, ...], here: Run, folder: Path
) -> None:
    done = here("config", *arguments)
    says(done, *words)
    assert done.stdout == ""
    assert KEY not in done.stderr
    assert not saved(folder).exists()


@pytest.mark.parametrize("arguments", [("--value", "x"), ("--key", "server.port", "--value", "")])
def test_a_value_needs_its_key_and_something_in_it(arguments: tuple[str, ...], here: Run) -> None:
    assert here("config", "set", *arguments).returncode == 2


def test_whatever_may_be_secret_is_masked(here: Run, folder: Path) -> None:
    (folder / "wye.yaml").write_text(
        "providers: {vllm: {base_url: 'http://h', headers: {authorization: hush-1}, stream_usage: true}}\n"
        "proxies: {https: 'http://me:hush-2@proxy:3128'}\n"
        "routes: {m: {deployments: [{provider: vllm, model: x, clocks: {gap_s: 7}}]}}\n"
    )
    done = here("config", "show", WYE_AWS_ACCESS_KEY_ID="AKID", WYE_AWS_SECRET_ACCESS_KEY="hush-3", API_KEY="hush-4")
    assert "hush" not in done.stdout.replace("hush-***", "")
    for line in (
        "providers.vllm.headers.authorization = ***",
        "providers.vllm.stream_usage = true",
        "proxies.https = http://***@proxy:3128",
        "routes.m.deployments.0.clocks.gap_s = 7.0",
        "server.aws_access_key_id = AKID",
    ):
        assert f"{line}\n" in done.stdout
    below = here("config", "get", "routes.m").stdout
    assert "routes.m.deployments.0.provider = vllm\nroutes.m.deployments.0.model = x\n" in below
    assert "routes.m.strict = false\n" in below
    assert here("config", "get", "local.memory_limit_gb").stdout == "not set\n"


def test_aws_says_who_you_are_by_static_keys(run: Run, here: Run, aws: FakeAws) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "AKIDUSER", "AWS_SECRET_ACCESS_KEY": "user-secret"}
    for done in (run("config", "test-aws", **keys), here("config", "test-aws", **keys)):
        assert done.returncode == 0, done
        assert done.stdout == f"static keys (AKIDUSER): {USER}, in eu-west-1\n"
        assert "user-secret" not in done.stdout + done.stderr


def test_aws_says_who_you_are_by_an_assumed_role_of_a_named_provider(here: Run, aws: FakeAws, folder: Path) -> None:
    (folder / "credentials").write_text("[default]\naws_access_key_id=AKIDUSER\naws_secret_access_key=user-secret\n")
    (folder / "wye.yaml").write_text(f"providers: {{lab: {{kind: bedrock, role_arn: '{ROLE}', region: us-west-2}}}}\n")
    done = here("config", "test-aws", "--provider", "lab")
    assumed = "arn:aws:sts::123456789012:assumed-role/gateway/wye"
    assert done.stdout == f"assumed role {ROLE}: {assumed}, in us-west-2\n"


def test_a_bearer_token_is_shown_to_bedrock(here: Run, aws: FakeAws) -> None:
    place = {"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": aws.url}
    done = here("config", "test-aws", AWS_BEARER_TOKEN_BEDROCK=aws.bearer, **place)
    assert (done.returncode, done.stdout) == (0, "bearer token: accepted, in eu-west-1\n")
    done = here("config", "test-aws", AWS_BEARER_TOKEN_BEDROCK="hush", **place)
    says(done, "Tried bearer token: The API key is not valid.")
    assert "hush" not in done.stderr


@pytest.mark.parametrize("body", [b"<html>", b"{}", b"[]"])
def test_a_refusal_without_words(body: bytes, here: Run, aws: FakeAws) -> None:
    with FakeUpstream(lambda _: FakeAnswer([body], 403)) as gate:
        done = here("config", "test-aws", AWS_BEARER_TOKEN_BEDROCK="hush", AWS_ENDPOINT_URL_BEDROCK_RUNTIME=gate.url)
    says(done, "refused with status 403")


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({}, "Tried default chain: there are none"),
        ({"AWS_PROFILE": "nobody"}, "Tried profile 'nobody'"),
        ({"AWS_ACCESS_KEY_ID": "AKIDOTHER", "AWS_SECRET_ACCESS_KEY": "hush"}, "Tried static keys (AKIDOTHER)"),
        ({"AWS_ACCESS_KEY_ID": "AKIDUSER", "AWS_SECRET_ACCESS_KEY": "hush"}, "signature we calculated does not match"),
        ({"AWS_ACCESS_KEY_ID": "AKIDUSER"}, "access_key_id and secret_access_key are needed both"),
    ],
)
def test_aws_says_why_not(environment: dict[str, str], why: str, here: Run, aws: FakeAws) -> None:
    done = here("config", "test-aws", **environment)
    says(done, why)
    assert done.stderr.count("\n") == 1
    assert "hush" not in done.stderr


def test_scripts_read_settings_as_json_without_secrets(here: Run, folder: Path) -> None:
    (folder / "wye.yaml").write_text("server: {port: 9000, api_key: sk-a-very-secret-key}\n")
    done = here("config", "show", "--format", "json")
    assert done.returncode == 0
    told = json.loads(done.stdout)
    assert told["server.port"] == "9000"
    assert told["server.api_key"] == "sk-***"
    assert "secret" not in done.stdout
