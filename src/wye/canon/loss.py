"""What a translation could not carry. Reported to the caller, or refused in strict mode: never silent."""

from __future__ import annotations

from typing import Literal

import msgspec

from wye.kernel.errors import BadRequest, LossRefused

Severity = Literal["info", "warning"]
"""`info`: bookkeeping that cannot change the answer (a cache hint, a user label). `warning`: it may."""


class Loss(msgspec.Struct, frozen=True):
    field: str
    """Path of the member in the request or answer it was found in: `messages[1].content[0].cache_control`."""
    reason: str
    severity: Severity = "warning"


class Losses(list[Loss]):
    """The losses of one exchange, in the order they were met, each field once."""

    __slots__ = ()

    def add(self, field: str, reason: str, severity: Severity = "warning") -> None:
        loss = Loss(field, reason, severity)
        if loss not in self:
            self.append(loss)

    def refuse(self) -> None:
        """Strict mode: raise LossRefused naming the first field that may change the answer, and counting the rest."""
        serious = [loss for loss in self if loss.severity == "warning"]
        if serious:
            first = serious[0]
            more = f" (and {len(serious) - 1} more)" if len(serious) > 1 else ""
            raise LossRefused(
                f"{first.field} cannot be carried: {first.reason}{more}. Leave it out, or turn strict mode off.",
                param=first.field,
            )

    def header(self, limit: int = 1000) -> str:
        """The X-Wye-Loss header: fields separated by commas, warnings first, shortened to about `limit` characters,
        printable ASCII."""
        text = ""
        for shown, loss in enumerate(sorted(self, key=lambda loss: loss.severity != "warning")):
            plain = "".join([character if character.isprintable() else " " for character in loss.field[: limit + 1]])
            item = plain.encode("ascii", "replace").decode().replace(",", ";")
            if len(text) + len(item) > limit:
                return f"{text}, +{len(self) - shown} more"
            text = f"{text}, {item}" if text else item
        return text


def cannot_say(dialect: str, what: str, path: str) -> BadRequest:
    """Content that a dialect has no words for is an error, not a loss: the answer would be about something else."""
    return BadRequest(
        f"{path}: {what} cannot be sent to a model that speaks {dialect}", param=path, code="unsupported_content"
    )
