"""What a field of a head says where it comes on several lines, or its line is broken.

Pure, and the one place with the rule. Who reads such a head otherwise than its next reader does
can be told one thing while that one hears another.
"""

import re
from typing import Final

from foxora_addon.framing import Fields

_BREAK: Final = re.compile(rb"[\r\n\0][\r\n\0 \t]*")


def unbroken(fields: Fields) -> Fields:
    """The fields, each on a line of its own: a space takes the place of what would break one.

    That is a line that goes on in the next (RFC 9112, 5.2), and a CR, LF or NUL (RFC 9110, 5.5):
    to some readers another field begins behind it, with a key or a length in it.
    """
    if not any(_BREAK.search(value) for _, value in fields):
        return fields
    return tuple((name, _BREAK.sub(b" ", value).strip(b" \t")) for name, value in fields)
