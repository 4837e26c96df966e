"""The figures of a whole answer, looked up in its bytes."""

import pytest

from wye.canon.usage import Usage
from wye.dialects.anthropic_messages import DIALECT
from wye.kernel.errors import BadAnswer, UpstreamRefused

FOUND: list[tuple[bytes, Usage | None]] = [
    (b'{"content":[],"usage":{"input_tokens":5,"output_tokens":2}}', Usage(5, 2, 0, 0)),
    (
        b'{"content":[{"type":"text","text":"\\"usage\\":"}],"usage":{"input_tokens":5,"output_tokens":2,'
        b'"cache_read_input_tokens":3,"cache_creation_input_tokens":1,"other":{}}}',
        Usage(9, 2, 3, 1),
    ),
    (b'{"content":[]}', None),
    (b'{"content":[],"usage":null,"error":null}', None),
]


@pytest.mark.parametrize(("body", "usage"), FOUND)
def test_the_figures_are_found(body: bytes, usage: Usage | None) -> None:
    assert DIALECT.tap.usage_of(body) == usage


def test_figures_of_a_wrong_type_do_not_make_an_answer_bad() -> None:
    seen = DIALECT.tap.usage_of(b'{"content":[],"usage":{"input_tokens":"many","output_tokens":2}}')
    assert seen is not None
    assert seen.output_tokens == 2


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"id":"x"}', b'{"content":', b"[" * 100_000])
def test_what_is_no_answer_is_refused(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        DIALECT.tap.usage_of(body)


def test_an_error_in_a_200_is_the_error_that_it_is() -> None:
    with pytest.raises(UpstreamRefused, match="busy"):
        DIALECT.tap.usage_of(b'{"type":"error","error":{"type":"overloaded_error","message":"busy"}}')
    with pytest.raises(UpstreamRefused, match="busy"):
        DIALECT.tap.usage_of(b'{"content":[],"error":{"type":"overloaded_error","message":"busy"}}')
