"""Drives sessions from Python in a thread that waits: for several sessions, and for green threads."""

from __future__ import annotations

import os
import select

from ._dugong import Mailbox
from ._polling import POLLIN, is_replaced, wait_any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._dugong import Reply, SessionCore


def has_green_threads() -> bool:
    """Whether a library of green threads, such as gevent, has replaced the functions that wait."""
    return is_replaced(select.select)


def news(cores: Iterable[SessionCore], mailbox: Mailbox) -> list[int]:
    """Drive the sessions until there is news in the mailbox, and return its numbers."""
    sessions = list(cores)
    while True:
        limit = _LOOK_AGAIN
        driven: list[SessionCore] = []
        for core in sessions:
            # Another thread may drive; then it leaves the news in the mailbox.
            if core.turn(mailbox):
                driven.append(core)
                due = core.due()
                limit = limit if due is None else min(limit, due)
        if numbers := mailbox.take():
            return numbers
        descriptors = [core.fileno() for core in driven]
        if not has_green_threads():
            wait_any([mailbox.fileno(), *descriptors], POLLIN, limit)
            continue
        # eventlet lets one green thread wait for a descriptor.
        copies = [os.dup(descriptor) for descriptor in descriptors]
        try:
            wait_any([mailbox.fileno(), *copies], POLLIN, limit)
        finally:
            for copy in copies:
                os.close(copy)


def perform(core: SessionCore, request: object, given: object = None) -> Reply:
    """Make a request, and let other green threads run while it waits. The reply shows *given*, if that is not None."""
    mailbox = Mailbox()
    ticket = core.submit(request, mailbox, 1, None, False, given)
    try:
        ticket.set_awaited(True)
        while True:
            state = ticket.poll()
            if state is None:
                news([core], mailbox)
            elif hasattr(state, '__anext__'):
                ticket.fail(ValueError('asynchronous content needs a co_ method'))
            else:
                reply: Reply = state
                return reply
    except BaseException:
        ticket.close()
        raise


#: Seconds after which it looks for a driver that has left.
_LOOK_AGAIN = 0.1
