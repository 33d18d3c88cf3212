"""Parts of large contents: `cat_ranges`, `download` and `open`, for threads and tasks."""

from __future__ import annotations

import contextlib
import functools
import io
import operator
import os
import threading

from ._dugong import BlockPlan, CatPlan, DownloadPlan, Mailbox
from ._failures import RangeError, RequestFailed
from ._request import Request, whole_number
from ._turns import news
from ._waiting import watch_of
from ._watch import Group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any

    from _typeshed import WriteableBuffer

    from ._dugong import Reply, SessionCore, Ticket
    from ._watch import Watch


def _integer(value: int, name: str, kinds: str) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f'{name} has to be {kinds}, not {value!r}') from None


class _Flight:
    """A request of a plan that is on its way, or its streamed reply."""

    __slots__ = ('index', 'is_over', 'number', 'reply', 'ticket')

    number: int
    ticket: Ticket
    reply: Reply | None

    def __init__(self, index: int) -> None:
        self.index = index
        self.reply = None
        self.is_over = False


class _Blocking:
    """Waits for news of flights, and drives the session meanwhile."""

    def __init__(self, core: SessionCore) -> None:
        self.mailbox = Mailbox()
        self._core = core
        self._last = 0
        self._flights: dict[int, _Flight] = {}

    def add(self, flight: _Flight) -> None:
        """Wait for this one, too."""
        for number in [number for number, old in self._flights.items() if old.is_over]:
            del self._flights[number]
        self._last += 1
        flight.number = self._last
        self._flights[flight.number] = flight

    def wait(self) -> list[_Flight]:
        """Wait, and return the flights with news."""
        while True:
            numbers = news([self._core], self.mailbox)
            if flights := [self._flights[number] for number in numbers if number in self._flights]:
                return flights


class _Awaiting:
    """Waits for news of flights in a task."""

    def __init__(self, watch: Watch) -> None:
        self.mailbox = watch.mailbox
        self._watch = watch
        self._group = Group()
        self._numbers: list[int] = []

    def add(self, flight: _Flight) -> None:
        """Wait for this one, too."""
        flight.number = self._watch.number()
        self._watch.join(flight.number, self._group, flight)
        self._numbers.append(flight.number)

    async def wait(self) -> list[_Flight]:
        """Wait, and return the flights with news."""
        self._watch.turn_soon()
        flights: list[_Flight] = await self._watch.wait_any(self._group)
        return flights

    def leave(self) -> None:
        """Wait for none of them any more."""
        for number in self._numbers:
            self._watch.forget(number)
        self._watch.turn_soon()


class _Fetcher:
    """Sends the requests of a plan, and gives it the answers."""

    def __init__(self, core: SessionCore, target: str, plan: CatPlan | BlockPlan | DownloadPlan) -> None:
        self.core = core
        self.target = target
        self.plan: Any = plan
        self.flights: dict[int, _Flight] = {}
        self._is_streamed = isinstance(plan, DownloadPlan)
        # Of the threads that have driven it last; None after a task.
        self._waiter: _Blocking | None = None

    def send(self, waiter: _Blocking | _Awaiting) -> None:
        """Send what the plan wants now."""
        while (asked := self.plan.next_request()) is not None:
            index, lines = asked
            flight = _Flight(index)
            waiter.add(flight)
            request = Request('GET', self.target, headers=lines, stream=self._is_streamed)
            flight.ticket = self.core.submit(request, waiter.mailbox, flight.number)
            flight.ticket.set_awaited(True)
            self.flights[index] = flight

    def join(self, waiter: _Blocking | _Awaiting) -> None:
        """Let another waiter hear of the flights."""
        for flight in self.flights.values():
            waiter.add(flight)
            if flight.reply is None:
                flight.ticket.tell(waiter.mailbox, flight.number)

    def look(self, flight: _Flight, mailbox: Mailbox) -> None:
        """Give the plan what has come."""
        if self.flights.get(flight.index) is not flight:
            return
        try:
            self._look(flight, mailbox)
        except RequestFailed as exc:
            self._drop(flight)
            if not self._goes_on(flight, exc):
                raise
        except BaseException:
            self._drop(flight)
            raise

    def _look(self, flight: _Flight, mailbox: Mailbox) -> None:
        if flight.reply is None:
            reply: Reply | None = flight.ticket.poll()
            if reply is None:
                return
            if not self._is_streamed:
                flight.is_over = True
                del self.flights[flight.index]
                self.plan.take(flight.index, reply)
                return
            flight.reply = reply
            if not self.plan.head(flight.index, reply):
                self._drop(flight)
                return
        while (piece := flight.reply._poll(mailbox, flight.number)) is not None:  # pyright: ignore[reportPrivateUsage]
            if not piece:
                self._drop(flight)
                self.plan.end(flight.index)
                return
            self.plan.content(flight.index, piece)

    def _goes_on(self, flight: _Flight, error: RequestFailed) -> bool:
        """Whether the plan does without this answer, or asks for the rest."""
        if isinstance(self.plan, DownloadPlan):
            return flight.reply is not None and isinstance(error, OSError) and self.plan.lost(flight.index)
        return isinstance(self.plan, BlockPlan) and not self.plan.lost(flight.index)

    def _drop(self, flight: _Flight) -> None:
        self.flights.pop(flight.index, None)
        flight.is_over = True
        if flight.reply is not None:
            flight.reply.close()
        else:
            flight.ticket.close()

    def close(self) -> None:
        """Give up all flights."""
        for flight in list(self.flights.values()):
            self._drop(flight)

    def drive(self, is_done: Callable[[], bool]) -> None:
        """Fetch until *is_done*."""
        waiter = self._waiter
        if waiter is None:
            waiter = self._waiter = _Blocking(self.core)
            self.join(waiter)
        told = list(self.flights.values())
        while True:
            for flight in told:
                self.look(flight, waiter.mailbox)
            self.send(waiter)
            if is_done():
                return
            told = waiter.wait()

    async def co_drive(self, is_done: Callable[[], bool]) -> None:
        """Fetch until *is_done*."""
        self._waiter = None
        with watch_of(self.core) as watch:
            waiter = _Awaiting(watch)
            self.join(waiter)
            told = list(self.flights.values())
            try:
                while True:
                    for flight in told:
                        self.look(flight, waiter.mailbox)
                    self.send(waiter)
                    if is_done():
                        return
                    told = await waiter.wait()
            finally:
                waiter.leave()


def cat(core: SessionCore, target: str, ranges: Any, merge_gap: int, max_content: int) -> tuple[_Fetcher, CatPlan]:
    """Return what fetches ranges."""
    plan = CatPlan(_checked(target), _pairs(ranges), whole_number(merge_gap, 'merge_gap'), max_content)
    return _Fetcher(core, target, plan), plan


def _pairs(ranges: Any) -> list[tuple[int, int]]:
    if not hasattr(ranges, '__iter__'):
        raise TypeError(f'ranges has to be an iterable of pairs of start and end, not {ranges!r}')
    pairs: list[tuple[int, int]] = []
    for given in ranges:
        try:
            start, end = given
        except (TypeError, ValueError):
            raise TypeError(f'a range is a pair of start and end, not {given!r}') from None
        pairs.append((whole_number(start, 'the start of a range'), whole_number(end, 'the end of a range')))
    return pairs


def cat_ranges(core: SessionCore, target: str, ranges: Any, merge_gap: int, max_content: int) -> list[bytes]:
    """Fetch ranges of a target."""
    fetcher, plan = cat(core, target, ranges, merge_gap, max_content)
    try:
        fetcher.drive(plan.is_done)
    finally:
        fetcher.close()
    return plan.finish()


async def co_cat_ranges(core: SessionCore, target: str, ranges: Any, merge_gap: int, max_content: int) -> list[bytes]:
    """Fetch ranges of a target."""
    fetcher, plan = cat(core, target, ranges, merge_gap, max_content)
    try:
        await fetcher.co_drive(plan.is_done)
    finally:
        fetcher.close()
    return plan.finish()


class _Download:
    """A download, until its file has its name."""

    def __init__(
        self,
        core: SessionCore,
        target: str,
        path: str | bytes | os.PathLike[str] | os.PathLike[bytes],
        progress: Callable[[int, int | None], object] | None,
        part_size: int,
        parts: int,
        sha256: str | None,
        url: str | None,
    ) -> None:
        if progress is not None and not callable(progress):
            raise TypeError(f'progress has to be a function of two numbers, not {progress!r}')
        sizes = whole_number(part_size, 'part_size', 1), whole_number(parts, 'parts', 1)
        name = core.origin + _checked(target) if url is None else url
        self._plan = DownloadPlan(name, target, os.fsdecode(path), *sizes, sha256)
        self._progress = progress
        self._told: tuple[int, int | None] = (0, None)
        self.fetcher = _Fetcher(core, target, self._plan)

    def is_done(self) -> bool:
        """Tell how far it is, and whether it is done."""
        now = self._plan.progress()
        if self._progress is not None and now != self._told:
            self._told = now
            self._progress(*now)
        return self._plan.is_done()

    def finish(self) -> int:
        """Give the file its name."""
        return self._plan.finish()

    def close(self) -> None:
        """Close the files; a later run continues."""
        self.fetcher.close()
        self._plan.close()


def download(*arguments: Any) -> int:
    """Download a target to a file."""
    pending = _Download(*arguments)
    try:
        pending.fetcher.drive(pending.is_done)
        pending.fetcher.close()
        return pending.finish()
    finally:
        pending.close()


async def co_download(*arguments: Any) -> int:
    """Download a target to a file."""
    pending = _Download(*arguments)
    try:
        await pending.fetcher.co_drive(pending.is_done)
        pending.fetcher.close()
        return pending.finish()
    finally:
        pending.close()


class RemoteFile(io.RawIOBase):
    """Remote content as a binary file that you can read and seek: `Session.open` returns it.

    It fetches blocks when they are needed, and reads ahead. If the content changes, or cannot be fetched, reading
    raises an `OSError`. Tasks read it by `co_read`.
    """

    def __init__(
        self, core: SessionCore, target: str, block_size: int, blocks: int, read_ahead: int, name: str | None = None
    ) -> None:
        super().__init__()
        # Python closes and describes it even if an argument is refused below.
        #: The target, as it was given.
        self.name: str = target if name is None else name
        self.mode = 'rb'
        self._lock = threading.RLock()
        sizes = (
            whole_number(block_size, 'block_size', 1),
            whole_number(blocks, 'blocks', 1),
            whole_number(read_ahead, 'read_ahead'),
        )
        self._plan = BlockPlan(_checked(target), *sizes)
        self._fetcher = _Fetcher(core, target, self._plan)
        self._position = 0
        self._is_reading = False

    def begin(self) -> RemoteFile:
        """Learn the size."""
        self._drive(lambda: self._plan.size() is not None)
        return self

    async def co_begin(self) -> RemoteFile:
        """Learn the size."""
        await self._co_drive(lambda: self._plan.size() is not None)
        return self

    @property
    def size(self) -> int:
        """The number of bytes of the content."""
        return self._plan.size() or 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def write(self, _data: object, /) -> int:
        """Raise `io.UnsupportedOperation`: it is read-only."""
        raise io.UnsupportedOperation('write')

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Change the position, and return it."""
        self._check()
        if whence not in (os.SEEK_SET, os.SEEK_CUR, os.SEEK_END):
            raise ValueError(f'whence has to be 0, 1 or 2, not {whence!r}')
        offset = _integer(offset, 'offset', 'an int')
        with self._lock:
            start = 0 if whence == os.SEEK_SET else self._position if whence == os.SEEK_CUR else self.size
            if start + offset < 0:
                raise ValueError(f'cannot seek to {start + offset}: that is before the beginning of the file')
            self._position = start + offset
            return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill the buffer, and return the number of bytes: fewer only at the end."""
        with memoryview(buffer).cast('B') as view:
            content = self.read(len(view))
            view[: len(content)] = content
            return len(content)

    def read(self, size: int | None = -1, /) -> bytes:
        """Read *size* bytes, or all that are left; fewer only at the end. Twin: `co_read`."""
        with self._lock, self._alone():
            parts: list[bytes] = []
            left = self._left(size)
            while left > 0:
                self._plan.want(self._position, left)
                self._drive(lambda: self._plan.is_ready(self._position))
                left -= self._take(parts, left)
            return b''.join(parts)

    async def co_read(self, size: int | None = -1, /) -> bytes:
        """Read *size* bytes, or all that are left, in a task of asyncio or trio. The twin of `read`."""
        with self._alone():
            parts: list[bytes] = []
            left = self._left(size)
            position = self._position
            while left > 0:
                self._plan.want(position, left)
                await self._co_drive(functools.partial(self._plan.is_ready, position))
                self._position = position
                left -= self._take(parts, left)
                position = self._position
            return b''.join(parts)

    def readall(self) -> bytes:
        """Read all that is left."""
        return self.read()

    def close(self) -> None:
        """Close it, and give up what is on its way. Twin: `co_close`."""
        # A thread that reads has its lock until it has the content.
        with self._lock:
            if not self.closed and hasattr(self, '_fetcher'):
                self._fetcher.close()
            super().close()

    async def co_close(self) -> None:
        """Close it, and give up what is on its way. The twin of `close`."""
        self.close()

    @contextlib.contextmanager
    def _alone(self) -> Generator[None, None, None]:
        if self._is_reading:
            raise RuntimeError('another task reads this file')
        self._is_reading = True
        try:
            yield
        finally:
            self._is_reading = False

    def _left(self, size: int | None) -> int:
        self._check()
        left = max(self.size - self._position, 0)
        most = -1 if size is None else _integer(size, 'size', 'an int or None')
        return left if most < 0 else min(most, left)

    def _take(self, parts: list[bytes], left: int) -> int:
        part = self._plan.read(self._position, left)
        parts.append(part)
        self._position += len(part)
        return len(part)

    def _check(self) -> None:
        if self.closed:
            raise ValueError('I/O operation on closed file')

    def _drive(self, is_done: Callable[[], bool]) -> None:
        try:
            self._fetcher.drive(is_done)
        except RequestFailed as exc:
            if isinstance(exc, OSError):
                raise
            raise RangeError(str(exc)) from exc

    async def _co_drive(self, is_done: Callable[[], bool]) -> None:
        try:
            await self._fetcher.co_drive(is_done)
        except RequestFailed as exc:
            if isinstance(exc, OSError):
                raise
            raise RangeError(str(exc)) from exc

    def __repr__(self) -> str:
        return f'<dugong.RemoteFile {self.name}>'


def _checked(target: object) -> str:
    if not isinstance(target, str):
        raise TypeError(f'target has to be a str, not {type(target).__name__}')
    return Request('GET', target).target
