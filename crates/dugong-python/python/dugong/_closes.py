"""What is closed at the end of a `with`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class Closes:
    """A context manager, for `with` and `async with`, that closes itself at the end."""

    def close(self) -> None:
        """End all requests, and close all connections. Later requests fail. Twin: `co_close`."""
        raise NotImplementedError

    async def co_close(self) -> None:
        """End all requests, and close all connections. The twin of `close`."""
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        self.close()
