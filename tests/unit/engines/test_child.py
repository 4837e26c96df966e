"""What the child process asks of llama.cpp, without llama.cpp."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import msgspec
import pytest

from wye.engines.llama_cpp import child
from wye.engines.llama_cpp.child import ChildSettings, params_of

SETTINGS = ChildSettings("/run/s.sock", "/m.gguf", "tiny", 4, 2048, 8, 10**9)


class Params(SimpleNamespace):
    def __init__(self) -> None:
        super().__init__(model=SimpleNamespace(), cpuparams=SimpleNamespace(), cpuparams_batch=SimpleNamespace())


LLAMA = SimpleNamespace(CommonParams=Params)


@pytest.mark.parametrize(("cores", "single", "batch"), [(1, 1, 1), (2, 1, 2), (8, 7, 8)])
def test_a_core_is_left_to_the_others_while_single_tokens_are_made(cores: int, single: int, batch: int) -> None:
    params = params_of(LLAMA, msgspec.structs.replace(SETTINGS, cores=cores))
    assert (params.cpuparams.n_threads, params.cpuparams_batch.n_threads) == (single, batch)


def test_every_slot_has_the_whole_context_to_itself() -> None:
    params = params_of(LLAMA, SETTINGS)
    assert (params.n_parallel, params.n_ctx, params.kv_unified) == (4, 4 * 2048, False)


def test_the_template_is_the_files_own_unless_the_card_has_one() -> None:
    assert not hasattr(params_of(LLAMA, SETTINGS), "chat_template")
    assert params_of(LLAMA, msgspec.structs.replace(SETTINGS, chat_template="{{ x }}")).chat_template == "{{ x }}"


def test_the_child_imports_no_more_than_it_needs() -> None:
    code = "import sys, wye.engines.llama_cpp.child; print('asyncio' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"


def test_the_child_tells_when_it_is_ready_and_ends_with_its_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_over = tmp_path / "s.sock"
    left_over.touch()
    settings = msgspec.structs.replace(SETTINGS, socket_path=str(left_over))
    llama = ModuleType("xllamacpp")
    llama.CommonParams = Params  # type: ignore[attr-defined]
    llama.Server = lambda params: SimpleNamespace(listening_address=f"at {params.hostnames[0]}")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "xllamacpp", llama)
    stdin = io.BytesIO(msgspec.json.encode(settings) + b"\n")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stdin, fileno=lambda: 7))
    reader, writer = os.pipe()
    turned: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "dup", lambda fd: writer)
    monkeypatch.setattr(os, "dup2", lambda to, fd: turned.append((to, fd)))

    def leave(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr(os, "_exit", leave)
    limits: list[int] = []
    monkeypatch.setattr(child, "limit_memory", limits.append)
    watched: list[int] = []
    monkeypatch.setattr(child, "end_with_input", watched.append)
    with pytest.raises(SystemExit) as left:
        child.main()
    os.close(writer)
    with os.fdopen(reader) as told:
        assert told.read() == f"at {left_over}\n"
    assert left.value.code == 0
    assert limits == [10**9]
    assert watched == [7]
    assert turned == [(2, 1)], "what else is printed goes to the log"
    assert not left_over.exists(), "a socket that is left over would refuse the new one"
    assert stdin.read() == b""
