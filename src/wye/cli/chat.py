"""`wye chat`: a conversation with a model, at the terminal or through a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from time import sleep
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table

from wye.canon.extras import PROGRESS
from wye.cli.client import Server, server_of
from wye.cli.conversation import Conversation, Turn, load_conversation
from wye.cli.options import config_options
from wye.cli.steps import Steps
from wye.kernel import clock
from wye.kernel.errors import ConnectFailed, StreamCut, UpstreamRefused, WyeError
from wye.kernel.json import JsonError, JsonObject, as_list, as_object, decode
from wye.kernel.sse import Frame

_T = TypeVar("_T")

_COMMANDS = {
    "/help": "what can be typed here",
    "/clear": "forget what was said",
    "/system TEXT": "tell the model how to answer; without TEXT, no longer",
    "/model NAME": "ask another model; without NAME, list those there are",
    "/settings [NAME VALUE]": "show the settings, or change temperature or max_tokens",
    "/save FILE": "write the conversation to a file",
    "/load FILE": "go on with one that was written",
    "/exit": "leave; so does Ctrl-D",
}
_RETURNS_S = 15.0
"""How long a server that is being restarted is waited for."""
_ASKED_AGAIN_S = 0.3


@click.command()
@click.option("--model", help="Who answers. [default: default_model, or the first that is loaded]")
@click.option("--system-prompt", help="How to answer.")
@click.option("--temperature", type=float, help="How freely to choose words.")
@click.option("--max-tokens", type=click.IntRange(1), help="The longest answer.")
@click.option("--no-stream", is_flag=True, help="Show each answer when it is whole.")
@click.option("--server-url", help="The running server. [default: where this configuration serves]")
@click.option("--api-key", help="Its key, if it needs one. [default: server.api_key]")
@config_options
def command(
    model: str | None,
    system_prompt: str | None,
    temperature: float | None,
    max_tokens: int | None,
    no_stream: bool,
    server_url: str | None,
    api_key: str | None,
    config_file: Path | None,
    env_file: Path | None,
) -> None:
    """Talk to a model of a running server.

    /help says what else can be typed. From a pipe, each line is a question; the status is 1 when one got no answer.
    """
    from wye.config.load import load_config
    from wye.config.sources import home_folder, read_environment

    config = load_config(file=config_file, env_file=env_file)
    conversation = Conversation(model or config.default_model, system_prompt, temperature, max_tokens)
    chat = Chat(server_of(config, server_url, api_key), conversation, stream=not no_stream)
    if sys.stdin.isatty():
        home = home_folder(config.home, read_environment(env_file))
        chat.talk(_typed(home / "chat_history"))
    elif not chat.talk(_piped):
        raise SystemExit(1)


def _typed(history: Path) -> Callable[[str], str]:
    """Ask for lines with editing and history; the argument stands in the line already. Raises EOFError at Ctrl-D."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import WordCompleter
    from prompt_toolkit.history import FileHistory

    history.parent.mkdir(parents=True, exist_ok=True)
    history.touch(mode=0o600)
    words = WordCompleter([name.split()[0] for name in _COMMANDS], sentence=True)
    session: PromptSession[str] = PromptSession(history=FileHistory(str(history)), completer=words)
    return lambda unanswered: session.prompt("> ", default=unanswered)


def _piped(unanswered: str) -> str:
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line


class Chat:
    def __init__(self, server: Server, conversation: Conversation, *, stream: bool) -> None:
        self._server = server
        self._conversation = conversation
        self._stream = stream
        self._console = Console(highlight=False, soft_wrap=True)
        self._aside = Console(stderr=True, highlight=False, soft_wrap=True)

    def talk(self, next_line: Callable[[str], str]) -> bool:
        """Until there are no more lines. Whether all went well."""
        well = True
        unanswered = ""
        while True:
            try:
                line = next_line(unanswered).strip()
            except (EOFError, KeyboardInterrupt):
                return well
            unanswered = ""
            if line == "/exit":
                return well
            try:
                if line.startswith("/"):
                    self._obey(*line.partition(" ")[::2])
                elif line:
                    unanswered = line
                    self._answer(line)
                    unanswered = ""
            except KeyboardInterrupt:
                self._console.print()
                unanswered = ""
            except WyeError as error:
                well = False
                self._tell(f"wye: {error.message}", "red")

    def _answer(self, question: str) -> None:
        """Ask, show the answer, and keep both; a question without a whole answer is not kept."""
        began_s = clock.monotonic_s()
        if self._conversation.model is None:
            self._conversation.model = self._first_model()
        text = self._streamed(question) if self._stream else self._whole(question)
        self._conversation.turns += [Turn("user", question), Turn("assistant", text)]
        if self._aside.is_terminal:
            self._tell(f"{clock.monotonic_s() - began_s:.1f} s", "dim")

    def _whole(self, question: str) -> str:
        body = self._conversation.request(question, stream=False)
        with self._aside.status("thinking"):
            answer = self._patiently(lambda: self._server.ask("POST", "/v1/chat/completions", body))
        text = _text(_choice(answer).get("message"), "content")
        self._console.print(text, markup=False)
        return text

    def _streamed(self, question: str) -> str:
        body = self._conversation.request(question, stream=True)
        pieces: list[str] = []
        finished = False
        steps = Steps(self._aside)
        frames = self._patiently(lambda: _begun(self._server.stream("/v1/chat/completions", body)))
        try:
            for chunk in frames:
                if (told := as_object(chunk.get(PROGRESS))) is not None:
                    steps.tell(told)
                choice = _choice(chunk)
                if thought := _text(choice.get("delta"), "reasoning_content"):
                    self._aside.print(thought, style="dim", end="", markup=False)
                if piece := _text(choice.get("delta"), "content"):
                    steps.answered()
                    pieces.append(piece)
                    self._console.print(piece, end="", markup=False)
                finished = finished or choice.get("finish_reason") is not None
        finally:
            steps.end()
            self._console.print()
        if not finished:
            raise StreamCut("The answer broke off before its end; it is not kept")
        return "".join(pieces)

    def _patiently(self, ask: Callable[[], _T]) -> _T:
        """Ask; a server that is away may be starting again, and is asked until it is there."""
        until_s = clock.monotonic_s() + _RETURNS_S
        while True:
            try:
                return ask()
            except (ConnectFailed, UpstreamRefused) as error:
                # Nobody ever answered here: then it is not a restart, but a wrong address.
                if error.status not in (502, 503) or clock.monotonic_s() > until_s or not self._conversation.turns:
                    raise
            with self._aside.status("waiting for the server"):
                sleep(_ASKED_AGAIN_S)

    def _obey(self, name: str, rest: str) -> None:
        rest = rest.strip()
        talk = self._conversation
        match name:
            case "/help":
                self._rows(_COMMANDS.items())
            case "/clear":
                talk.turns.clear()
                self._tell("Forgotten.")
            case "/system":
                talk.system = rest or None
            case "/model" if rest:
                talk.model = rest
            case "/model":
                self._rows((str(m.get("id")), m.get("status") or m.get("owned_by")) for m in self._models())
            case "/settings" if rest:
                talk.set(*rest.partition(" ")[::2])
            case "/settings":
                self._rows((name, getattr(talk, name)) for name in ("model", "system", "temperature", "max_tokens"))
            case "/save" if rest:
                talk.save(Path(rest).expanduser())
                self._tell(f"Saved to {rest}.")
            case "/load" if rest:
                self._conversation = load_conversation(Path(rest).expanduser())
                self._tell(f"{len(self._conversation.turns) // 2} questions and answers, from {rest}.")
            case "/save" | "/load":
                self._tell(f"{name} needs a file: {name} talk.json", "red")
            case _:
                self._tell(f"There is no {name}; /help says what there is.", "red")

    def _models(self) -> list[JsonObject]:
        listed = as_list(self._server.ask("GET", "/v1/models").get("data")) or []
        return [as_object(model) or {} for model in listed]

    def _first_model(self) -> str | None:
        """One that is loaded; else the first that the server lists."""
        models = sorted(self._models(), key=lambda model: model.get("status") != "loaded")
        return str(models[0].get("id")) if models else None

    def _rows(self, rows: Any) -> None:
        table = Table(box=None, show_header=False, pad_edge=False)
        for name, value in rows:
            table.add_row(name, "" if value is None else str(value))
        self._console.print(table)

    def _tell(self, words: str, style: str | None = None) -> None:
        self._aside.print(words, style=style, markup=False)


def _begun(frames: Iterator[Frame]) -> Iterator[JsonObject]:
    """A stream of which something is here: what fails until then may be asked again."""
    first = next(frames, None)
    return _chunks(chain([first] if first else [], frames))


def _chunks(frames: Iterable[Frame]) -> Iterator[JsonObject]:
    """Raises StreamCut for an error in the middle."""
    for frame in frames:
        if frame.data == b"[DONE]":
            return
        try:
            chunk = as_object(decode(frame.data)) or {}
        except JsonError:
            raise StreamCut("The server sent something that is no JSON") from None
        if (error := as_object(chunk.get("error"))) is not None:
            raise StreamCut(str(error.get("message")))
        yield chunk


def _choice(answer: JsonObject) -> JsonObject:
    choices = as_list(answer.get("choices")) or []
    return (as_object(choices[0]) if choices else None) or {}


def _text(holder: Any, name: str) -> str:
    value = (as_object(holder) or {}).get(name)
    return value if isinstance(value, str) else ""
