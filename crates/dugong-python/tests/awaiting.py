"""Helpers for the tests of awaited methods."""

from __future__ import annotations

from peers import Peer

HUGE = 30_000_000


def echo(peer: Peer) -> None:
    """Answer each request with its path and the size of its body."""
    while True:
        try:
            got = peer.request()
        except EOFError:
            return
        peer.answer(f'{got.target} {len(got.body)}'.encode())
