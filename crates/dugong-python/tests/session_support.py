"""What the tests of sessions share: sessions for a `Server`, and what an outcome says."""

from __future__ import annotations

from typing import Any

from peers import Server

from dugong import Outcome, Reply, Session


def of(server: Server, **settings: Any) -> Session:
    settings.setdefault('expect_timeout', 0.01)
    return Session(f'http://127.0.0.1:{server.port}', **settings)


def words(thing: Any) -> tuple[str, str, bool, int]:
    return thing.sent, thing.answered, thing.safe_to_retry, thing.attempts


def reply_of(outcome: Outcome) -> Reply:
    assert outcome.reply is not None, outcome
    assert outcome.error is None
    return outcome.reply
