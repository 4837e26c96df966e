"""`wye conformance`: what it tells, writes and ends with."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.integration.cli.conftest import Run, says
from wye.testing.fake_provider import FakeProvider
from wye.testing.process import fake_config
from wye.testing.server import WyeServer
from wye.testing.services import free_port


def test_a_good_server_passes(here: Run, folder: Path) -> None:
    with FakeProvider(api_key="sk-1") as provider:
        done = here("conformance", "--base-url", f"{provider.url}/v1", "--api-key", "sk-1", "--junit", "out.xml")
    assert done.returncode == 0, done
    assert "OpenAI chat  19 of 19" in done.stdout
    assert "48 of 48 checks passed, 0 skipped" in done.stdout
    assert "FAILED" not in done.stdout
    assert ElementTree.parse("out.xml").getroot()[0].get("tests") == "48"


def test_a_bad_one_does_not(here: Run, run: Run) -> None:
    with FakeProvider(fault="truncated") as provider:
        arguments = ("conformance", "--base-url", provider.url, "--only", "chat", "--timeout", "5")
        done = here(*arguments)
        told = run(*arguments, "--format", "json", "--model", "m")
    assert (done.returncode, told.returncode) == (1, 1)
    assert "FAILED" in done.stdout
    answer = json.loads(told.stdout)
    assert answer["failed"] > 5
    assert {result["area"] for result in answer["results"]} == {"OpenAI chat"}
    assert told.stderr == ""


def test_formats_that_are_not_served_are_told_in_a_line(here: Run) -> None:
    with FakeProvider() as provider:
        right = provider.script
        provider.script = lambda request: (
            right(request)
            if "/model/" not in request.path
            else right(type(request)("POST", "/none", request.headers, request.body))
        )
        done = here("conformance", "--base-url", provider.url, "--only", "converse", "--only", "embeddings")
    assert "Bedrock converse  not served: the server answers 404" in done.stdout
    assert "3 of 3 checks passed, 7 skipped" in done.stdout


def test_vectors_are_asked_of_a_model_of_their_own(here: Run) -> None:
    with FakeProvider() as provider:
        here("conformance", "--base-url", provider.url, "--model", "one", "--embedding-model", "two")
        asked = {(call.dialect, call.model) for call in provider.calls if not call.model.startswith("no-such")}
    assert ("openai_embeddings", "two") in asked
    assert ("openai_chat", "one") in asked


def test_a_gateway(here: Run) -> None:
    port = free_port()
    placeholder = FakeProvider(port=port)
    placeholder.port = port
    config = fake_config(placeholder)
    routes = {"deployments": [{"provider": "openai", "model": "gpt-4o"}], "retries": 1, "allowed_fails": 1000}
    with WyeServer({**config, "routes": {"up": routes}}) as server:
        arguments = ("--base-url", server.url, "--behind", str(port), "--upstream", "openai=up")
        done = here("conformance", *arguments)
    assert done.returncode == 0, done.stdout
    assert "messages → openai  27 of 27" in done.stdout
    assert "108 of 108 checks passed" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--base-url", "http://127.0.0.1:1"), ["Cannot reach http://127.0.0.1:1"]),
        (("--base-url", "ftp://x"), ["no address"]),
        (("--base-url", "x", "--upstream", "a=b"), ["--behind PORT"]),
        (("--base-url", "x", "--behind", "1024"), ["LABEL=MODEL"]),
        (("--base-url", "x", "--behind", "1024", "--upstream", "a"), ["LABEL=MODEL"]),
    ],
)
def test_what_is_wrong_is_said(arguments: tuple[str, ...], words: list[str], here: Run) -> None:
    says(here("conformance", *arguments), *words)


def test_a_port_or_file_that_is_not_to_be_had_is_said(here: Run) -> None:
    with FakeProvider() as provider:
        base = ("conformance", "--base-url", provider.url)
        says(here(*base, "--behind", str(provider.port), "--upstream", "a=b"), "cannot listen")
        says(here(*base, "--only", "embeddings", "--junit", "no/such/folder.xml"), "no/such/folder.xml")
