"""What a relay that passes the bytes through must still see of them."""

from __future__ import annotations

import re

from wye.dialects.dialect import TapRules
from wye.dialects.openai_chat.encoder import DONE
from wye.kernel.errors import BadRequest
from wye.kernel.json import JsonError, Raw, encode, split_object

# Inside a JSON string every quote is escaped, so a name in quotes before a colon is a member.
_MARKERS = re.compile(
    rb'"(?:finish_reason"\s*:\s*"|usage"\s*:\s*\{|error"\s*:\s*[\{"])|^data: ?\[DONE\]|^event: ?error', re.MULTILINE
)
_USAGE_ONLY = re.compile(rb'\A(?=.*"choices"\s*:\s*\[\s*\])(?=.*"usage"\s*:\s*\{)', re.DOTALL)


def ask_usage(members: dict[str, Raw]) -> bool:
    """Make a streamed request ask for usage. Whether it did not do so itself. Raises BadRequest."""
    asked = members.get("stream_options")
    try:
        options = split_object(bytes(asked)) if asked is not None and bytes(asked) != b"null" else {}
    except JsonError:
        raise BadRequest("stream_options must be an object", param="stream_options") from None
    if bytes(options.get("include_usage", b"false")) == b"true":
        return False
    options["include_usage"] = Raw(b"true")
    members["stream_options"] = Raw(encode(options))
    return True


TAP = TapRules(markers=_MARKERS, unasked_usage=_USAGE_ONLY, terminator=DONE, ask_usage=ask_usage)
