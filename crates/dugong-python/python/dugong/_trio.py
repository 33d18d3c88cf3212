"""The trio driver, for tasks that await an iterator. Imported only if the program has imported trio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import trio

from ._polling import POLLIN, POLLOUT, PollNeeded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

T = TypeVar('T')

#: Seconds that a task which asked for both events waits for writing alone, while another task reads.
_LOOK_AGAIN = 0.5


def is_running() -> bool:
    """Whether this code runs in a task of trio."""
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return False
    return True


async def run(crt: Generator[PollNeeded | None, None, T]) -> T:
    """Run *crt* to its end and return its value. If this is cancelled, *crt* is closed.

    If *crt* does not have to wait, this returns at once and is no checkpoint.
    """
    try:
        while True:
            try:
                need = next(crt)
            except StopIteration as end:
                value: T = end.value
                return value
            if need is None:
                # It has run for long without a wait, and lets other tasks run.
                await trio.lowlevel.checkpoint()
            else:
                await _wait(need)
    finally:
        crt.close()


async def _wait(need: PollNeeded) -> None:
    """Wait until *need* is fulfilled or its time has passed. The wait may also end early."""
    limit = need._timeout  # pyright: ignore[reportPrivateUsage]  # of this package
    if limit:
        with trio.move_on_after(limit):
            await _wait_for(*need)
    else:
        await _wait_for(*need)


async def _wait_for(fd: int, mask: int) -> None:
    if mask == POLLIN | POLLOUT:
        await _wait_for_either(fd)
        return
    wait = trio.lowlevel.wait_writable if mask == POLLOUT else trio.lowlevel.wait_readable
    if mask == POLLIN and (writer := _either.get(_key(fd))):
        # The writer leaves reading to this task: it is woken, and waits anew for writing alone.
        writer.cancel()
    try:
        await wait(fd)
    except trio.BusyResourceError as exc:
        doing = 'writing' if mask == POLLOUT else 'reading'
        raise RuntimeError(f'another task waits for {doing} on file descriptor {fd}') from exc


def _alone(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the exception that a wait in a single task would have raised: callers do not know of the two tasks."""
    _, others = group.split(trio.Cancelled)
    found: Any = others or group
    while isinstance(found, BaseExceptionGroup):
        found = cast('Any', found).exceptions[0]
    alone: BaseException = found
    return alone


async def _wait_for_either(fd: int) -> None:
    """Wait for both with two tasks; the first that ends cancels the other."""
    is_read = False
    error: RuntimeError | None = None
    key = _key(fd)
    if key in _either:
        raise RuntimeError(f'another task waits for writing on file descriptor {fd}')

    async def first(wait: Callable[[int], Awaitable[None]]) -> None:
        nonlocal error, is_read
        try:
            await wait(fd)
        except trio.BusyResourceError as exc:
            if wait is trio.lowlevel.wait_readable:
                is_read = True
            else:
                error = RuntimeError(f'another task waits for writing on file descriptor {fd}')
                error.__cause__ = exc
        nursery.cancel_scope.cancel()

    try:
        async with trio.open_nursery() as nursery:
            _either[key] = nursery.cancel_scope
            try:
                nursery.start_soon(first, trio.lowlevel.wait_readable)
                nursery.start_soon(first, trio.lowlevel.wait_writable)
                await trio.sleep_forever()
            finally:
                del _either[key]
    except BaseExceptionGroup as group:
        raise _alone(group) from None
    if error:
        raise error
    if is_read:
        # Another task reads, without this driver.
        with trio.move_on_after(_LOOK_AGAIN):
            await _wait_for(fd, POLLOUT)


def _key(fd: int) -> tuple[object, int]:
    """For `_either`: a descriptor, in this run of trio, since others may run in other threads."""
    return trio.lowlevel.current_root_task(), fd


# The cancel scopes of tasks that wait for a descriptor to become either readable or writable.
_either: dict[tuple[object, int], trio.CancelScope] = {}
