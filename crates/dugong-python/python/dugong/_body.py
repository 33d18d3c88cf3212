"""How a caller announces a body that follows."""

from __future__ import annotations


class BodyFollowing:
    """Pass this to `send_request` as the *body* to write *length* bytes later.

    With a *length* of None, the body is sent in chunks: call `write` any number of times, then `finish`.

        conn.send_request('PUT', '/a', body=BodyFollowing(len(data)))
        conn.write(data)
    """

    def __init__(self, length: int | None = None) -> None:
        self.length = length

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.length})'
