"""Chooses how a task waits for a session: under asyncio or trio."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._dugong import SessionCore, Ticket
    from ._watch import Watch


def watch_of(core: SessionCore) -> Watch:
    """Return the watch of a session in the event loop that runs."""
    if 'trio' in sys.modules:
        from . import _session_trio  # noqa: PLC0415

        if _session_trio.is_running():
            return _session_trio.watch_of(core)
    from . import _session_asyncio  # noqa: PLC0415

    return _session_asyncio.watch_of(core)


async def perform(core: SessionCore, request: object, given: object = None) -> Any:
    """Make a request, and wait for its reply. The reply shows *given*, if that is not None."""
    with watch_of(core) as watch:
        number = watch.number()
        ticket = core.submit(request, watch.mailbox, number, None, False, given)
        pieces: Any = None
        try:
            ticket.set_awaited(True)
            while True:
                state = ticket.poll()
                if state is None:
                    # The session may have something to do for the ticket now.
                    watch.turn_soon()
                    await watch.wait(number)
                elif hasattr(state, '__anext__'):
                    pieces = state
                    await feed(ticket, pieces)
                else:
                    return state
        except BaseException:
            ticket.close()
            watch.turn_soon()
            raise
        finally:
            if pieces is not None:
                # The answer can come before the content has ended, and trio warns of a generator that is left.
                await pieces.aclose()


async def feed(ticket: Ticket, pieces: Any) -> None:
    """Give a session the next piece of asynchronous content."""
    try:
        piece = await pieces.__anext__()
    except StopAsyncIteration:
        ticket.finish()
    except Exception as exc:
        ticket.fail(exc)
    else:
        ticket.give(piece)
