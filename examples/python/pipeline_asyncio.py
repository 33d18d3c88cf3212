"""Fetch many documents over one connection with asyncio: one task sends the requests, another reads the responses.

You can await the results of the `co_` methods. If you know all requests in advance, `conn.co_pipeline` does the same.

    $ python pipeline_asyncio.py http://localhost:8000/doc/ 3
    /doc/1: 200, 20 bytes
    /doc/2: 200, 20 bytes
    /doc/3: 200, 20 bytes
"""

import asyncio
import ssl
import sys
from collections.abc import Iterable
from urllib.parse import urlsplit

from dugong import ConnectionClosed, HTTPConnection


async def send_all(conn: HTTPConnection, paths: Iterable[str], sent: asyncio.Queue[bool]) -> ConnectionClosed | None:
    """Send the requests. Put True into the queue for each of them, and False at the end.

    If the connection is lost, return the exception instead of raising it, so that the other task reads the responses
    that have arrived.
    """
    lost = None
    try:
        for path in paths:
            await conn.co_send_request('GET', path)
            sent.put_nowait(True)
    except ConnectionClosed as exc:
        lost = exc
    sent.put_nowait(False)
    return lost


async def read_all(conn: HTTPConnection, sent: asyncio.Queue[bool]) -> None:
    """Read the responses, each after its request has been sent."""
    while await sent.get():
        resp = await conn.co_read_response()
        body = await conn.co_readall()
        print(f'{resp.path}: {resp.status}, {len(body)} bytes')


async def main(url: str, count: str) -> None:
    parts = urlsplit(url)
    context = ssl.create_default_context() if parts.scheme == 'https' else None
    paths = [f'{parts.path or "/"}{number}' for number in range(1, int(count) + 1)]
    sent: asyncio.Queue[bool] = asyncio.Queue()

    with HTTPConnection(parts.hostname or '', parts.port, context) as conn:
        # If one of the tasks raises an exception, the group cancels the other.
        async with asyncio.TaskGroup() as group:
            sender = group.create_task(send_all(conn, paths, sent))
            group.create_task(read_all(conn, sent))
        if lost := sender.result():
            raise lost


if __name__ == '__main__':
    asyncio.run(main(*sys.argv[1:]))
