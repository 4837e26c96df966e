"""`wye check`: is the configuration good, are the providers up?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bucket import KEYS, Bucket
from tests.integration.cli.conftest import Run, says
from wye.testing.fake import FakeAnswer, FakeUpstream, json_body

KEY = "sk-a-very-secret-key"
SMALL = "smollm2-135m-instruct"


def configure(folder: Path, *urls: str, key: str | None = KEY, local: bool = False) -> None:
    providers = {f"p{i}": {"kind": "openai", "base_url": f"{url}/v1", "api_key": key} for i, url in enumerate(urls)}
    (folder / "wye.yaml").write_text(json.dumps({"providers": providers, "local": {"enabled": local}}))


def state_of(told: str, name: str) -> str:
    return next(line for line in told.splitlines() if line.startswith(f"{name} "))


@pytest.mark.parametrize("status", [200, 401, 404, 500])
def test_whoever_answers_is_reached_and_no_key_is_sent_or_shown(status: int, run: Run, here: Run, folder: Path) -> None:
    with FakeUpstream(lambda _: json_body({}, status)) as fake:
        configure(folder, fake.url)
        for done in (here("check"), run("check")):
            assert done.returncode == 0, done
            line = state_of(done.stdout, "p0")
            assert f"127.0.0.1:{fake.port}" in line
            assert line.rstrip().endswith("reached")
            assert "sk-***" in line
            assert KEY not in done.stdout + done.stderr
        assert all("authorization" not in r.headers and r.body == b"" for r in fake.requests)


def test_one_that_cannot_be_reached_is_told_with_the_reason(here: Run, folder: Path) -> None:
    with FakeUpstream(lambda _: FakeAnswer([])) as up:
        configure(folder, up.url, "http://127.0.0.1:1", "http://[::1]:1")
        done = here("check")
    assert done.returncode == 1
    assert state_of(done.stdout, "p0").rstrip().endswith("reached")
    assert "Cannot reach 127.0.0.1:1" in state_of(done.stdout, "p1")
    assert "http://[::1]:1 " in state_of(done.stdout, "p2")
    assert KEY not in done.stdout


def test_a_missing_key_is_a_failure(here: Run, folder: Path) -> None:
    with FakeUpstream(lambda _: FakeAnswer([])) as fake:
        (folder / "wye.yaml").write_text(
            json.dumps({"providers": {"openai": {"base_url": fake.url}}, "local": {"enabled": False}})
        )
        done = here("check")
        assert done.returncode == 1
        assert "no key" in state_of(done.stdout, "openai")
        assert here("check", OPENAI_API_KEY=KEY).returncode == 0


def test_a_provider_that_needs_no_key_is_good_without(here: Run, folder: Path) -> None:
    with FakeUpstream(lambda _: FakeAnswer([])) as fake:
        (folder / "wye.yaml").write_text(
            json.dumps({"providers": {"vllm": {"base_url": fake.url}}, "local": {"enabled": False}})
        )
        done = here("check")
    assert done.returncode == 0
    assert "none" in state_of(done.stdout, "vllm")


def test_a_wrong_configuration_is_status_1_with_every_line_at_fault(run: Run, here: Run, folder: Path) -> None:
    (folder / "wye.yaml").write_text("server:\n  prot: 80\nlimits:\n  concurrent: 0\nlocal:\n  enabled: maybe\n")
    for done in (run("check"), here("check")):
        says(done, "wye.yaml:2: server.prot", "wye.yaml:6: local.enabled")
        assert done.stdout == ""


def test_without_any_configuration_the_model_in_the_box_is_looked_for(here: Run, folder: Path) -> None:
    done = here("check")
    line = state_of(done.stdout, "local")
    assert SMALL in line
    assert done.returncode == (0 if "its file is here" in line else 1)


def test_local_models_that_the_configuration_names_are_looked_for(here: Run, folder: Path) -> None:
    route = {"deployments": [{"provider": "local", "model": "nobody"}]}
    kept = folder / "home" / "models" / f"{SMALL}.gguf"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"something else")
    (folder / "wye.yaml").write_text(
        json.dumps({"routes": {"m": route}, "local": {"preload": [SMALL], "aliases": {"small": SMALL}}})
    )
    done = here("check")
    assert done.returncode == 1
    told = done.stdout.splitlines()
    assert sum(line.startswith("local ") for line in told) == 2
    assert f"unknown; known: {SMALL}" in done.stdout
    assert "is not the file of" in done.stdout


def test_the_models_of_a_preset_are_looked_for_under_the_names_that_stand_for_them(here: Run, folder: Path) -> None:
    attached = {"far": {"base_url": "http://127.0.0.1:1"}}
    local = {"preset": "D3", "aliases": {"phi-4": SMALL, "big": "far"}, "attached": attached, "preload": ["far"]}
    (folder / "wye.yaml").write_text(json.dumps({"local": local}))
    told = [line.split()[1] for line in here("check").stdout.splitlines() if line.startswith("local ")]
    assert told == [SMALL, "deepseek-r1-7b"]


def test_a_model_whose_file_is_not_here_says_how_to_fetch_it(
    here: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wye.engines.weights import LocalWeights

    monkeypatch.setattr(LocalWeights, "locate", lambda self, card: None)
    done = here("check")
    assert done.returncode == 1
    assert f"run 'wye models pull {SMALL}'" in done.stdout


def test_where_no_route_uses_local_models_they_are_not_looked_for(here: Run, folder: Path) -> None:
    with FakeUpstream(lambda _: FakeAnswer([])) as fake:
        route = {"deployments": [{"provider": "vllm", "model": "m"}]}
        (folder / "wye.yaml").write_text(
            json.dumps({"providers": {"vllm": {"base_url": fake.url}}, "routes": {"m": route}})
        )
        done = here("check")
    assert (done.returncode, "local" in done.stdout) == (0, False)


def test_scripts_read_it_as_json(here: Run, folder: Path) -> None:
    with FakeUpstream(lambda _: FakeAnswer([])) as up:
        configure(folder, up.url, "http://127.0.0.1:1")
        done = here("check", "--format", "json")
    assert done.returncode == 1
    found = {finding["name"]: finding for finding in json.loads(done.stdout)}
    assert found["p0"] == {"name": "p0", "where": up.url, "key": "sk-***", "state": "reached", "good": True}
    assert found["p1"]["good"] is False


def test_the_place_of_files_is_tried(here: Run, folder: Path, bucket: Bucket) -> None:
    def check(**storage: str) -> tuple[int, str]:
        (folder / "wye.yaml").write_text(json.dumps({"storage": storage, "local": {"enabled": False}}))
        done = here("check")
        assert not any(key in done.stdout + done.stderr for key in KEYS.values())
        return done.returncode, state_of(done.stdout, "storage").rstrip()

    at = {"blobs_endpoint_url": bucket.endpoint_url}
    status, told = check(blobs=f"s3://{bucket.name}/checked", **at)
    assert (status, told.endswith("takes files, gives them back")) == (0, True)
    assert [key for key in bucket.contents() if key.startswith("checked/")] == []
    status, told = check(blobs="s3://no-such-bucket", **at)
    assert (status, told.endswith("The bucket 'no-such-bucket' cannot be used: it is not there")) == (1, True)
    (folder / "file").write_text("")
    status, told = check(blobs=str(folder / "file"))
    assert (status, "cannot be kept: " in told) == (1, True)
