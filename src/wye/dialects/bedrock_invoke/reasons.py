"""Why an answer ended, in a family's own words."""

from __future__ import annotations

from typing import Any

import msgspec

from wye.canon.extras import Extras, extras_of, own_extras
from wye.canon.loss import Losses
from wye.canon.response import FinishReason
from wye.kernel.json import JsonObject


class Reasons(msgspec.Struct, frozen=True):
    """A family's words, and which of them it uses for each of ours."""

    member: str
    meanings: dict[str, FinishReason]
    words: dict[FinishReason, str]

    def take(self, members: JsonObject) -> tuple[FinishReason | None, JsonObject]:
        """Remove the reason; a word that would not be said again stays, as an extra."""
        native: Any = members.pop(self.member, None)
        if native is None:
            return None, {}
        reason = self.meanings.get(native, "stop") if isinstance(native, str) else "stop"
        return reason, {} if self.words.get(reason) == native else {self.member: native}

    def decode(self, members: JsonObject, dialect: str) -> tuple[FinishReason | None, Extras | None]:
        reason, extras = self.take(members)
        return reason, extras_of(dialect, extras)

    def say(
        self, reason: FinishReason | None, extras: Extras | None, dialect: str, losses: Losses, path: str
    ) -> JsonObject:
        """The members that say it: null for an answer that has not ended."""
        own = own_extras(extras, dialect, losses, path, "info")
        return {self.member: None if reason is None else self.word(reason, dialect, losses, path), **own}

    def word(self, reason: FinishReason, dialect: str, losses: Losses, path: str) -> str:
        word = self.words.get(reason)
        if word is None:
            # At least the answer must not look complete.
            word = self.words["length" if reason == "error" else "stop"]
            losses.add(f"{path}.finish_reason", f"{dialect} has no word for {reason!r}: said as {word!r}")
        return word
