"""A small AWS on this machine: STS that gives out keys, and Bedrock's runtime that checks who signs with them."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

from wye.kernel import sigv4
from wye.kernel.errors import Forbidden
from wye.testing.fake import FakeAnswer, FakeRequest, FakeUpstream, json_body

ROLE = "arn:aws:iam::123456789012:role/gateway"
USER = "arn:aws:iam::123456789012:user/dev"
CONVERSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
    "metrics": {"latencyMs": 1},
}


class FakeAws(FakeUpstream):
    """`pairs` are the key ids it knows and their secrets; assuming a role adds one."""

    def __init__(self, **pairs: str) -> None:
        super().__init__(self._answer)
        self.pairs = dict(pairs)
        self.tokens: dict[str, str] = {}
        self.bearer = "bedrock-api-key-1"
        self.lasts_s = 3600.0
        self.external_id: str | None = None
        self.asked: list[dict[str, str]] = []
        """What STS was asked, oldest first."""

    def _answer(self, request: FakeRequest) -> FakeAnswer:
        form = {name: values[0] for name, values in parse_qs(request.body.decode("latin-1")).items()}
        try:
            if request.path != "/" or "Action" not in form:
                return self._bedrock(request)
            self.asked.append(form)
            return self._sts(form, request)
        except Forbidden as error:
            if "Action" in form:
                code = error.code.removesuffix("Exception")
                told = f"<Error><Code>{code}</Code><Message>{error.message}</Message></Error>"
                body = f"<ErrorResponse>{told}</ErrorResponse>"
                return FakeAnswer([body.encode()], 403, {"content-type": "text/xml"})
            return json_body({"message": error.message}, 403, **{"x-amzn-ErrorType": error.code})

    def _signer(self, request: FakeRequest, service: str) -> str:
        headers = {name.encode(): value.encode() for name, value in request.headers.items()}
        claim = sigv4.read_claim(headers, service=service)
        if claim.access_key_id not in self.pairs:
            raise sigv4.unknown_key()
        if self.tokens.get(claim.access_key_id, "") != request.headers.get("x-amz-security-token", ""):
            raise sigv4.unknown_key()
        parts = urlsplit(request.path)
        secret = self.pairs[claim.access_key_id]
        path, query = parts.path.encode(), parts.query.encode()
        sigv4.verify(claim, secret, request.method.encode(), path, query, headers, request.body, time.time())
        return claim.access_key_id

    def _bedrock(self, request: FakeRequest) -> FakeAnswer:
        authorization = request.headers.get("authorization", "")
        if authorization.startswith("Bearer "):
            if authorization != f"Bearer {self.bearer}":
                raise Forbidden("The API key is not valid.", code="AccessDeniedException")
        else:
            self._signer(request, "bedrock")
        body = request.json()
        if "inputText" in body:
            vector = [len(body["inputText"]), 0.1]
            return json_body({"embedding": vector, "embeddingsByType": {"float": vector}, "inputTextTokenCount": 3})
        if "texts" in body:
            answer = {"id": "e", "response_type": "embeddings_floats", "texts": body["texts"]}
            vectors = [[len(text), 0.1] for text in body["texts"]]
            tokens = {"x-amzn-bedrock-input-token-count": str(3 * len(vectors))}
            return json_body({**answer, "embeddings": vectors}, **tokens)
        if not body.get("messages"):
            return json_body({"message": "messages is required"}, 400, **{"x-amzn-ErrorType": "ValidationException"})
        return json_body(CONVERSE)

    def _sts(self, form: dict[str, str], request: FakeRequest) -> FakeAnswer:
        action = form["Action"]
        if action == "AssumeRoleWithWebIdentity":
            if form["WebIdentityToken"] != "a web token":
                raise Forbidden("The web identity token is not valid", code="InvalidIdentityToken")
            return self._xml(action, self._assume(form["RoleArn"]))
        key_id = self._signer(request, "sts")
        if action == "AssumeRole":
            if form.get("ExternalId") != self.external_id:
                raise Forbidden("User is not authorized to perform: sts:AssumeRole", code="AccessDenied")
            return self._xml(action, self._assume(form["RoleArn"]))
        who = (
            f"{ROLE.replace(':iam:', ':sts:').replace(':role/', ':assumed-role/')}/wye"
            if self.tokens.get(key_id)
            else USER
        )
        return self._xml(action, f"<Arn>{who}</Arn><UserId>U</UserId><Account>123456789012</Account>")

    def _assume(self, role: str) -> str:
        number = len(self.tokens)
        key_id = f"ASIAROLE{number}"
        self.pairs[key_id], self.tokens[key_id] = f"role-secret-{number}", f"role-token-{number}"
        ends = (datetime.now(UTC) + timedelta(seconds=self.lasts_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
        return (
            f"<Credentials><AccessKeyId>{key_id}</AccessKeyId><SecretAccessKey>{self.pairs[key_id]}</SecretAccessKey>"
            f"<SessionToken>{self.tokens[key_id]}</SessionToken><Expiration>{ends}</Expiration></Credentials>"
            f"<AssumedRoleUser><Arn>{role}</Arn><AssumedRoleId>R:wye</AssumedRoleId></AssumedRoleUser>"
        )

    def _xml(self, action: str, result: str) -> FakeAnswer:
        namespace = "https://sts.amazonaws.com/doc/2011-06-15/"
        body = f'<{action}Response xmlns="{namespace}"><{action}Result>{result}</{action}Result></{action}Response>'
        return FakeAnswer([body.encode()], 200, {"content-type": "text/xml"})
