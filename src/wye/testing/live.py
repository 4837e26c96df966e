"""Real providers within bounds: a server that forwards to one, not too fast, and no further than the money goes."""

from __future__ import annotations

import asyncio
import re
import threading

from wye.kernel import clock
from wye.testing.fake import FakeAnswer, FakeRequest, json_body
from wye.testing.forwarder import Forwarder

PRICE_PER_TOKEN_USD = 75e-6
"""What a token is counted as: as much as the dearest models take, so that the cap holds for each of them."""
_INPUT = re.compile(rb'"(?:prompt_tokens|input_tokens|inputTokens|inputTextTokenCount)" ?: ?(\d{1,12})')
_OUTPUT = re.compile(rb'"(?:completion_tokens|output_tokens|outputTokens|tokenCount)" ?: ?(\d{1,12})')
_BYTES_PER_TOKEN = 3


class Budget:
    """What all live tests of a session may spend together. For several threads."""

    def __init__(self, cap_usd: float, per_minute: float) -> None:
        self.cap_usd = cap_usd
        self.calls = 0
        self.tokens = 0
        self._gap_s = 60.0 / per_minute
        self._next_s = 0.0
        self._lock = threading.Lock()

    @property
    def spent_usd(self) -> float:
        return self.tokens * PRICE_PER_TOKEN_USD

    @property
    def is_spent(self) -> bool:
        return self.spent_usd >= self.cap_usd

    def begin(self) -> float:
        """One more call; for how many seconds it must wait."""
        with self._lock:
            now_s = clock.monotonic_s()
            at_s = max(now_s, self._next_s)
            self._next_s = at_s + self._gap_s
            self.calls += 1
            return at_s - now_s

    def count(self, tokens: int) -> None:
        with self._lock:
            self.tokens += tokens

    def told(self) -> str:
        return f"{self.calls} live calls, {self.tokens} tokens, at most ${self.spent_usd:.4f} of ${self.cap_usd:.2f}"


class LiveEndpoint(Forwarder):
    """A call beyond the budget is refused with 400, which clients do not repeat."""

    def __init__(self, base_url: str, budget: Budget) -> None:
        super().__init__(base_url)
        self.budget = budget

    async def forward(self, request: FakeRequest) -> FakeAnswer:
        if self.budget.is_spent:
            message = f"The live tests have spent what they may (--live-budget): {self.budget.told()}"
            error = {"message": message, "type": "budget_spent", "code": "budget_spent", "param": None}
            return json_body({"type": "error", "error": error, "message": message}, 400)
        await asyncio.sleep(self.budget.begin())
        return await super().forward(request)

    def ended(self, request: FakeRequest, status: int, headers: dict[str, str], body: bytes, *, whole: bool) -> None:
        if status == 200:
            self.budget.count(tokens_of(request.body, body))


def tokens_of(asked: bytes, answer: bytes) -> int:
    """As the answer tells them, in any format, streamed or whole; where it does not, an estimate from the lengths."""
    read = max((int(figure) for figure in _INPUT.findall(answer)), default=0)
    written = max((int(figure) for figure in _OUTPUT.findall(answer)), default=0)
    return read + written or (len(asked) + len(answer)) // _BYTES_PER_TOKEN
