"""One line of JSON Lines, and the data of one event of a stream.

JSON lets three characters stand in a string that many readers take for the end of a line: U+0085, U+2028 and U+2029
(Python's `splitlines`, httpx's `iter_lines`, JavaScript until 2019). They are escaped, so that what is one line here is
one line there.
"""

import json

LINE_ENDS = {ord(mark): f"\\u{ord(mark):04x}" for mark in "\x85\u2028\u2029"}
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def json_line(value: object) -> str:
    """`value` as JSON without an end of line in it, by anybody's reckoning."""
    text = _encode(value)
    return text if text.isascii() else text.translate(LINE_ENDS)
