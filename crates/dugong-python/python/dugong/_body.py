"""How a caller announces a body that follows."""

from __future__ import annotations


class BodyFollowing:
    """Passed to `send_request` as the *body*: it will be written later, and is *length* bytes long.

    With a *length* of None, it is sent in chunks: any number of `write` calls, then `finish`.

        conn.send_request('PUT', '/a', body=BodyFollowing(len(data)))
        conn.write(data)
    """

    def __init__(self, length: int | None = None) -> None:
        self.length = length

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.length})'
