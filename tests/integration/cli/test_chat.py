"""`wye chat`: a conversation through a pipe and at a terminal, against a server that can fail."""

from __future__ import annotations

import io
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from tests import wire
from tests.integration.cli.conftest import Run
from wye.cli import chat as chat_command
from wye.testing.fake import FakeAnswer, FakeRequest, FakeUpstream, event_stream, json_body


def chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    return (
        b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}).encode() + b"\n\n"
    )


STREAM = [
    chunk({"role": "assistant"}),
    chunk({"reasoning_content": "Let me see."}),
    chunk({"content": "It is "}),
    chunk({"content": "[bold]four[/bold]."}),
    chunk({}, "stop"),
    b'data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}\n\n',
    b"data: [DONE]\n\n",
]
TEXT = "It is [bold]four[/bold]."
LISTED = {"data": [{"id": "idle", "status": "available"}, {"id": "busy", "status": "loaded"}]}


def answer(request: FakeRequest) -> FakeAnswer:
    if request.path == "/v1/models":
        return json_body(LISTED)
    if request.json().get("stream"):
        return event_stream(STREAM)
    return json_body({"choices": [{"message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}]})


@pytest.fixture
def server() -> Iterator[FakeUpstream]:
    with FakeUpstream(answer) as server:
        yield server


class Talk:
    """`talk("a question", "/help")`: what is printed when these lines come from a pipe."""

    def __init__(self, here: Run, server: FakeUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
        self._here = here
        self._server = server
        self._monkeypatch = monkeypatch
        self.status = 0
        self.aside = ""

    def __call__(self, *lines: str, options: tuple[str, ...] = ()) -> str:
        self._monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        done = self._here("chat", "--server-url", self._server.url, *options)
        self.status, self.aside = done.returncode, done.stderr
        return done.stdout

    @property
    def asked(self) -> list[dict[str, object]]:
        return [r.json() for r in self._server.requests if r.path == "/v1/chat/completions"]


@pytest.fixture
def talk(here: Run, server: FakeUpstream, monkeypatch: pytest.MonkeyPatch) -> Talk:
    return Talk(here, server, monkeypatch)


def test_an_answer_is_shown_as_it_is_and_kept_for_the_next_question(talk: Talk) -> None:
    assert talk("What is 2+2?", "", "And again?") == f"{TEXT}\n{TEXT}\n"
    assert "Let me see." in talk.aside
    assert talk.status == 0
    first, second = talk.asked
    assert first["model"] == "busy", "what is loaded answers at once"
    assert first["messages"] == [{"role": "user", "content": "What is 2+2?"}]
    assert second["messages"] == [
        {"role": "user", "content": "What is 2+2?"},
        {"role": "assistant", "content": TEXT},
        {"role": "user", "content": "And again?"},
    ]


def test_options_become_the_request(talk: Talk) -> None:
    settings = ("--model", "m", "--system-prompt", "Be short.", "--temperature", "0.5", "--max-tokens", "7")
    said = talk("Hi", options=(*settings, "--no-stream", "--api-key", "sk-x"))
    assert said == f"{TEXT}\n"
    assert talk.asked == [
        {
            "messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hi"}],
            "stream": False,
            "model": "m",
            "temperature": 0.5,
            "max_tokens": 7,
        }
    ]


def test_commands_change_what_is_asked(talk: Talk, folder: Path) -> None:
    file = folder / "talk.json"
    talk(
        "/system Be kind.", "/settings max_tokens 9", "/model idle", "One", f"/save {file}", "/clear", "/system", "Two"
    )
    one, two = talk.asked
    assert (one["model"], one["max_tokens"]) == ("idle", 9)
    assert one["messages"] == [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "One"}]
    assert two["messages"] == [{"role": "user", "content": "Two"}]

    talk(f"/load {file}", "Three", "/exit", "not asked")
    three = talk.asked[2:]
    assert [m["content"] for m in three[0]["messages"]] == ["Be kind.", "One", TEXT, "Three"]  # type: ignore[attr-defined,index]
    assert "1 questions and answers" in talk.aside


def test_commands_show_what_there_is(talk: Talk) -> None:
    shown = talk("/help", "/model", "/settings")
    for word in ("/save FILE", "/exit", "idle", "available", "busy", "loaded", "temperature"):
        assert word in shown
    assert talk.status == 0


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("/nope", "There is no /nope"),
        ("/save", "/save needs a file"),
        ("/load", "/load needs a file"),
        ("/load /nowhere/talk.json", "cannot be read: No such file"),
        ("/load wye.txt", "holds no saved conversation"),
        ("/save /nowhere/talk.json", "cannot be written: No such file"),
        ("/settings temperature warm", "temperature is a number, not 'warm'"),
        ("/settings colour red", "There is no setting 'colour'"),
    ],
)
def test_a_mistake_is_told_and_the_talk_goes_on(talk: Talk, folder: Path, line: str, told: str) -> None:
    (folder / "wye.txt").write_text("no json")
    assert talk(line, "Hi") == f"{TEXT}\n"
    assert told in talk.aside


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (json_body({"error": {"message": "Model 'x' not found"}}, 404), "wye: Model 'x' not found"),
        (json_body({"detail": "No room"}, 507), "wye: No room"),
        (FakeAnswer([b"<html>"], 500), "answered 500"),
        (event_stream(STREAM[:3]), "broke off before its end"),
        (event_stream([*STREAM[:3], b'data: {"error": {"message": "went away"}}\n\n']), "wye: went away"),
        (event_stream([*STREAM[:3], b"data: {no\n\n"]), "no JSON"),
        (event_stream(STREAM[:3], end="cut"), "broke off"),
    ],
)
def test_a_question_without_a_whole_answer_is_told_and_not_kept(
    talk: Talk, server: FakeUpstream, failure: FakeAnswer, told: str
) -> None:
    server.queue.append(failure)
    talk("First", "Second", options=("--model", "m"))
    assert told in talk.aside
    assert talk.status == 1
    assert talk.asked[1]["messages"] == [{"role": "user", "content": "Second"}]


def test_a_whole_answer_that_breaks_off_is_told(talk: Talk, server: FakeUpstream) -> None:
    server.queue.append(FakeAnswer([b'{"choices"'], headers={"content-type": "application/json"}, end="cut"))
    talk("First", options=("--model", "m", "--no-stream"))
    assert "broke off" in talk.aside
    assert talk.status == 1


def test_a_server_that_is_not_there_is_told_at_once(here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("Hi\n"))
    done = here("chat", "--server-url", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert "No Wye answers at http://127.0.0.1:9: Connection refused. Is it running?" in done.stderr


def test_an_address_that_is_none_is_told(here: Run) -> None:
    done = here("chat", "--server-url", "localhost:8000")
    assert done.returncode == 1
    assert "--server-url must be like http://127.0.0.1:8000" in done.stderr


def test_the_conversation_survives_a_restart_of_the_server(talk: Talk, server: FakeUpstream) -> None:
    away = json_body({"error": {"message": "starting"}}, 503)
    server.queue += [event_stream(STREAM), away, away]
    assert talk("First", "Second", options=("--model", "m")) == f"{TEXT}\n{TEXT}\n"
    assert talk.status == 0
    assert len(talk.asked) == 4


def test_at_a_terminal_an_unanswered_question_stands_in_the_next_line(
    here: Run, server: FakeUpstream, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.queue.append(json_body({"error": {"message": "not now"}}, 500))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        keys.send_text("What is this?\r")  # fails
        keys.send_text("\r")  # and is sent again
        keys.send_text("\x04")
        done = here("chat", "--server-url", server.url, "--model", "m")
    assert done.stdout.endswith(f"{TEXT}\n")
    assert [r.json()["messages"][0]["content"] for r in server.requests] == ["What is this?"] * 2
    history = folder / "home" / "chat_history"
    assert "What is this?" in history.read_text()
    assert history.stat().st_mode & 0o077 == 0, "nobody else reads what was asked"


def test_ctrl_c_ends_an_answer_and_not_the_talk(
    talk: Talk, server: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = chat_command.Chat._streamed
    pressed = threading.Event()

    def interrupted(self: chat_command.Chat, question: str) -> str:
        if not pressed.is_set():
            pressed.set()
            raise KeyboardInterrupt
        return whole(self, question)

    monkeypatch.setattr(chat_command.Chat, "_streamed", interrupted)
    assert talk("First", "Second", options=("--model", "m")).strip() == TEXT
    assert talk.asked[0]["messages"] == [{"role": "user", "content": "Second"}]


def test_any_openai_compatible_stream_is_understood(talk: Talk, server: FakeUpstream) -> None:
    server.queue.append(event_stream(wire.OPENAI_STREAM))
    assert talk("Hi", options=("--model", "m")) == "Hello there\n"
