"""The oracle is botocore's signer: what it signs verifies here, and we sign as it does, byte for byte."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from urllib.parse import quote

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from wye.kernel.errors import Forbidden
from wye.kernel.sigv4 import Claim, Keys, read_claim, sign, unknown_key, verify

NOW_S = 1_795_255_200.0
STAMP = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(NOW_S))
DAY = STAMP[:8]
KEYS = Keys("AKIDEXAMPLE", "a secret / of + many = characters")
BODY = b'{"messages":[{"role":"user","content":[{"text":"Hi"}]}]}'
HOST = b"bedrock-runtime.us-east-1.amazonaws.com"
MODEL = "anthropic.claude-3-haiku-20240307-v1:0"
ARN = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-3-haiku-20240307-v1:0"
PATHS = [
    "/",
    "/model/m/converse",
    f"/model/{quote(MODEL, safe='')}/invoke",
    f"/model/{MODEL}/invoke",
    f"/model/{quote(ARN, safe='')}/converse-stream",
    f"/model/{quote(ARN, safe=':')}/converse",
    "/a%20b/%E4%BD%A0/~x_-./!*'()/",
    "/prefix//model/./x/../m/converse",
]


def botocore_signed(
    path: str,
    headers: dict[str, str] | None = None,
    body: bytes = BODY,
    keys: Keys = KEYS,
    query: str = "",
    region: str = "us-east-1",
    method: str = "POST",
) -> dict[bytes, bytes]:
    request = AWSRequest(
        method,
        f"http://{HOST.decode()}{path}{'?' if query else ''}{query}",
        headers={"Host": HOST.decode(), "Content-Type": "application/json"} | (headers or {}),
        data=body,
    )
    credentials = Credentials(keys.access_key_id, keys.secret, keys.session_token)
    botocore.auth.SigV4Auth(credentials, "bedrock", region).add_auth(request)
    return {name.lower().encode(): str(value).encode() for name, value in request.headers.items()}


@pytest.fixture(autouse=True)
def _at_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: datetime.fromtimestamp(NOW_S, UTC))


def check(
    headers: dict[bytes, bytes],
    path: str = "/model/m/converse",
    body: bytes = BODY,
    query: bytes = b"",
    secret: str = KEYS.secret,
    now_s: float = NOW_S,
    method: bytes = b"POST",
) -> Claim:
    claim = read_claim(headers, service="bedrock")
    verify(claim, secret, method, path.encode(), query, headers, body, now_s)
    return claim


def refusal(headers: dict[bytes, bytes], **change: object) -> Forbidden:
    with pytest.raises(Forbidden) as caught:
        check(headers, **change)  # type: ignore[arg-type]
    assert caught.value.status == 403
    return caught.value


@pytest.mark.parametrize("path", PATHS)
def test_what_botocore_signs_verifies(path: str) -> None:
    claim = check(botocore_signed(path), path)
    assert claim == Claim(
        KEYS.access_key_id,
        DAY,
        "us-east-1",
        "bedrock",
        ("content-type", "host", "x-amz-date"),
        claim.signature,
        STAMP,
    )


@pytest.mark.parametrize("token", [None, "FwoGZXIvYXdzEJr/+="])
@pytest.mark.parametrize("path", PATHS)
def test_what_is_signed_here_is_what_botocore_signs(path: str, token: str | None) -> None:
    keys = Keys(KEYS.access_key_id, KEYS.secret, token)
    theirs = botocore_signed(path, keys=keys, query="b=2&a=1", region="eu-west-3")
    given = {b"host": HOST, b"content-type": b"application/json"}
    ours = sign(keys, "eu-west-3", "bedrock", b"POST", path.encode(), b"b=2&a=1", given, BODY, NOW_S)
    assert {**given, **ours} == {name: value for name, value in theirs.items() if name != b"content-length"}


@pytest.mark.parametrize(
    "query",
    ["type=SYSTEM_DEFINED", "b=2&a=1&a=0", "a", "maxResults=5&nextToken=a%2Fb%3D%3D", "x=~-_.&y=%20"],
)
def test_a_query_in_any_order_verifies(query: str) -> None:
    headers = botocore_signed("/inference-profiles", query=query, body=b"", method="GET")
    shuffled = "&".join(reversed(query.split("&")))
    check(headers, "/inference-profiles", b"", shuffled.encode(), method=b"GET")


@pytest.mark.parametrize("path", [f"/model/{quote(MODEL, safe='')}/invoke", f"/model/{quote(ARN, safe='')}/invoke"])
def test_a_proxy_may_undo_an_encoding_that_needs_not_be(path: str) -> None:
    check(botocore_signed(path), path.replace("%3A", ":"))


def test_a_client_that_encodes_its_path_once_verifies() -> None:
    """As S3's signers do: the path is sent and signed alike."""
    path = f"/model/{MODEL}/invoke"
    check(botocore_signed(path), path.replace(":", "%3A"))


def test_an_encoded_slash_is_no_separator() -> None:
    assert refusal(botocore_signed("/model/a%2Fb/invoke"), path="/model/a/b/invoke").code == "InvalidSignatureException"


def test_further_signed_headers_and_spaces_within_them() -> None:
    headers = botocore_signed("/model/m/converse", {"X-Stainless-Os": "  Linux   6.1 ", "Accept": "*/*"})
    assert "x-stainless-os" in check(headers).signed_headers


@pytest.mark.parametrize("seen", [b"gzip", b"br", b"identity", b""])
def test_a_proxy_may_have_changed_accept_encoding(seen: bytes) -> None:
    headers = botocore_signed("/model/m/converse", {"Accept-Encoding": "gzip, deflate"})
    check({**headers, b"accept-encoding": seen})
    assert refusal({**headers, b"accept-encoding": seen}, body=b"").code == "InvalidSignatureException"


def test_a_session_token_is_signed_with_the_rest() -> None:
    headers = botocore_signed("/model/m/converse", keys=Keys(KEYS.access_key_id, KEYS.secret, "token"))
    assert "x-amz-security-token" in check(headers).signed_headers
    refusal({**headers, b"x-amz-security-token": b"another"})


def test_date_serves_where_there_is_no_x_amz_date() -> None:
    headers = botocore_signed("/model/m/converse", {"Date": "now"})
    assert b"x-amz-date" not in headers
    assert check(headers).stamp == STAMP


@pytest.mark.parametrize(
    ("date", "good"),
    [
        (time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(NOW_S)), True),
        (time.strftime("%a, %d %b %Y %H:%M:%S +0100", time.gmtime(NOW_S + 3600)), True),
        ("Mon, 01 Jan 0001 00:00:00 +0100", False),
        ("Mon, 99 Jan 2026 00:00:00 GMT", False),
        ("yesterday", False),
    ],
)
def test_dates_as_http_writes_them(date: str, good: bool) -> None:
    headers = {b"date": date.encode(), b"authorization": authorization(SignedHeaders="date;host")}
    if good:
        assert read_claim(headers, service="bedrock").stamp == STAMP
    else:
        assert refusal(headers).code == "IncompleteSignatureException"


def test_payload_hash_told_by_the_client() -> None:
    unsigned = botocore_signed("/model/m/converse", {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"})
    check(unsigned, body=b"anything")
    told = botocore_signed(
        "/model/m/converse",
        {"X-Amz-Content-SHA256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    )
    check(told, body=b"")
    assert refusal(told).code == "InvalidSignatureException"
    streaming = botocore_signed("/model/m/converse", {"X-Amz-Content-SHA256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"})
    assert refusal(streaming).code == "InvalidSignatureException"


def test_every_changed_byte_is_refused() -> None:
    path = f"/model/{quote(MODEL, safe='')}/invoke"
    headers = botocore_signed(path, query="a=1")
    check(headers, path, query=b"a=1")
    for i in range(len(BODY)):
        refusal(headers, path=path, query=b"a=1", body=BODY[:i] + bytes([BODY[i] ^ 1]) + BODY[i + 1 :])
    for i in range(1, len(path)):
        changed = path[:i] + chr(ord(path[i]) ^ 2) + path[i + 1 :]
        refusal(headers, path=changed, query=b"a=1")
    for name in (b"host", b"content-type", b"x-amz-date"):
        value = headers[name]
        for i in range(len(value)):
            refusal({**headers, name: value[:i] + bytes([value[i] ^ 1]) + value[i + 1 :]}, path=path, query=b"a=1")
    value = headers[b"authorization"]
    for i in range(value.index(b"/") + 1, len(value)):
        # Spaces between members hold nothing.
        if value[i] != ord(" "):
            changed_value = value[:i] + bytes([value[i] ^ 1]) + value[i + 1 :]
            refusal({**headers, b"authorization": changed_value}, path=path, query=b"a=1")
    refusal(headers, path=path, query=b"a=2")
    refusal(headers, path=path, query=b"")
    refusal(headers, path=path, query=b"a=1", method=b"GET")
    refusal(headers, path=path, query=b"a=1", secret=KEYS.secret + "x")


def test_the_mismatch_in_the_words_of_aws() -> None:
    error = refusal(botocore_signed("/model/m/converse"), secret="wrong")
    assert error.code == "InvalidSignatureException"
    assert error.message == (
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access "
        "Key and signing method. Consult the service documentation for details."
    )


@pytest.mark.parametrize("skew_s", [-300, -299, 0, 300])
def test_five_minutes_either_way_are_forgiven(skew_s: float) -> None:
    check(botocore_signed("/model/m/converse"), now_s=NOW_S + skew_s)


def test_beyond_five_minutes_aws_says_when() -> None:
    def stamp(offset_s: float) -> str:
        return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(NOW_S + offset_s))

    headers = botocore_signed("/model/m/converse")
    late = refusal(headers, now_s=NOW_S + 301)
    assert late.code == "InvalidSignatureException"
    assert late.message == f"Signature expired: {STAMP} is now earlier than {stamp(1)} ({stamp(301)} - 5 min.)"
    early = refusal(headers, now_s=NOW_S - 301)
    assert (
        early.message == f"Signature not yet current: {STAMP} is still later than {stamp(-1)} ({stamp(-301)} + 5 min.)"
    )


def authorization(**members: str) -> bytes:
    parts = {
        "Credential": f"AKID/{DAY}/us-east-1/bedrock/aws4_request",
        "SignedHeaders": "host;x-amz-date",
        "Signature": "ab" * 32,
    } | members
    return b"AWS4-HMAC-SHA256 " + ", ".join(f"{name}={value}" for name, value in parts.items()).encode()


@pytest.mark.parametrize("value", [None, b"", b"Bearer x", b"AWS4-ECDSA-P256-SHA256 Credential=x", b"Basic eDp5"])
def test_no_signature_is_a_missing_token(value: bytes | None) -> None:
    error = refusal({b"x-amz-date": STAMP.encode()} | ({b"authorization": value} if value is not None else {}))
    assert (error.code, error.message) == ("MissingAuthenticationTokenException", "Missing Authentication Token")


@pytest.mark.parametrize(
    ("headers", "code", "says"),
    [
        ({b"authorization": b"AWS4-HMAC-SHA256"}, "IncompleteSignatureException", "'Credential'"),
        ({b"authorization": authorization(SignedHeaders="")}, "IncompleteSignatureException", "'SignedHeaders'"),
        ({b"authorization": authorization(Signature="")}, "IncompleteSignatureException", "'Signature'"),
        ({b"authorization": authorization(Credential="AKID")}, "IncompleteSignatureException", "5 slash-delimited"),
        (
            {b"authorization": authorization(Credential=f"/{DAY}/us-east-1/bedrock/aws4_request")},
            "IncompleteSignatureException",
            "5 slash-delimited",
        ),
        (
            {b"authorization": authorization(Credential=f"AKID/{DAY}/us-east-1/bedrock/aws5")},
            "IncompleteSignatureException",
            "5 slash-delimited",
        ),
        ({b"authorization": authorization(SignedHeaders="x-amz-date")}, "IncompleteSignatureException", "'host'"),
        ({b"authorization": authorization(SignedHeaders="host;host")}, "IncompleteSignatureException", "once"),
        ({b"x-amz-date": b""}, "IncompleteSignatureException", "'Date' header"),
        ({b"x-amz-date": b"20261121T250000"}, "IncompleteSignatureException", "'Date' header"),
        ({b"x-amz-date": f"{DAY}T999999Z".encode()}, "IncompleteSignatureException", "ISO-8601"),
        (
            {b"authorization": authorization(Credential=f"AKID/{DAY}/us-east-1/s3/aws4_request")},
            "InvalidSignatureException",
            "Credential should be scoped to correct service: 'bedrock'.",
        ),
        (
            {b"authorization": authorization(Credential="AKID/20200101/us-east-1/bedrock/aws4_request")},
            "InvalidSignatureException",
            f"'20200101' != '{DAY}', from '{STAMP}'",
        ),
        (
            {b"authorization": authorization(Signature="\u00e9\u0661" * 3)},
            "InvalidSignatureException",
            "does not match",
        ),
    ],
)
def test_what_is_wrong_is_named(headers: dict[bytes, bytes], code: str, says: str) -> None:
    sent = {b"host": HOST, b"x-amz-date": STAMP.encode(), b"authorization": authorization()}
    error = refusal({**sent, **headers})
    assert error.code == code
    assert says in error.message


def test_keys_do_not_show_their_secret() -> None:
    assert KEYS.secret not in repr(Keys("AKID", KEYS.secret, "token"))
    assert "token" not in repr(Keys("AKID", KEYS.secret, "token"))


def test_an_unknown_key_in_the_words_of_aws() -> None:
    error = unknown_key()
    assert (error.status, error.code) == (403, "UnrecognizedClientException")
    assert error.message == "The security token included in the request is invalid."
