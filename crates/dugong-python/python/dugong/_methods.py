"""The methods for single requests, which `Session` and `Sessions` share."""

from __future__ import annotations

from ._request import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Unpack

    from ._dugong import Reply
    from ._types import Options


class Methods:
    """Makes single requests. Each method has a twin that begins with `co_`, to be awaited under asyncio or trio.

    The keywords are those of `Request`. A reply with any status is returned; without a complete reply, a method raises
    `RequestFailed`. Wrong arguments raise `ValueError` or `TypeError`, and nothing is sent.
    """

    def _send(self, request: Request) -> Reply:
        raise NotImplementedError

    async def _co_send(self, request: Request) -> Reply:
        raise NotImplementedError

    def request(self, method: str | Request, target: str | None = None, **options: Unpack[Options]) -> Reply:
        """Make a request, or send one that you have made, and wait for the reply. Twin: `co_request`."""
        return self._send(_request(method, target, options))

    async def co_request(self, method: str | Request, target: str | None = None, **options: Unpack[Options]) -> Reply:
        """Make a request, or send one that you have made, and await the reply. The twin of `request`."""
        return await self._co_send(_request(method, target, options))

    def get(self, target: str, **options: Unpack[Options]) -> Reply:
        """Make a GET request. Twin: `co_get`."""
        return self._send(Request('GET', target, **options))

    async def co_get(self, target: str, **options: Unpack[Options]) -> Reply:
        """Make a GET request. The twin of `get`."""
        return await self._co_send(Request('GET', target, **options))

    def head(self, target: str, **options: Unpack[Options]) -> Reply:
        """Make a HEAD request. Twin: `co_head`."""
        return self._send(Request('HEAD', target, **options))

    async def co_head(self, target: str, **options: Unpack[Options]) -> Reply:
        """Make a HEAD request. The twin of `head`."""
        return await self._co_send(Request('HEAD', target, **options))

    def put(self, target: str, **options: Unpack[Options]) -> Reply:
        """Make a PUT request. Twin: `co_put`."""
        return self._send(Request('PUT', target, **options))

    async def co_put(self, target: str, **options: Unpack[Options]) -> Reply:
        """Make a PUT request. The twin of `put`."""
        return await self._co_send(Request('PUT', target, **options))

    def post(self, target: str, **options: Unpack[Options]) -> Reply:
        """Make a POST request. It is repeated only if none of it was sent, or with `retry=True`. Twin: `co_post`."""
        return self._send(Request('POST', target, **options))

    async def co_post(self, target: str, **options: Unpack[Options]) -> Reply:
        """Make a POST request. The twin of `post`."""
        return await self._co_send(Request('POST', target, **options))

    def delete(self, target: str, **options: Unpack[Options]) -> Reply:
        """Make a DELETE request. Twin: `co_delete`."""
        return self._send(Request('DELETE', target, **options))

    async def co_delete(self, target: str, **options: Unpack[Options]) -> Reply:
        """Make a DELETE request. The twin of `delete`."""
        return await self._co_send(Request('DELETE', target, **options))


def _request(method: str | Request, target: str | None, options: Options) -> Request:
    if isinstance(method, Request):
        if target is not None or options:
            raise TypeError('a request that was made has its target and its options already')
        return method
    if target is None:
        raise TypeError('a target is missing')
    return Request(method, target, **options)
