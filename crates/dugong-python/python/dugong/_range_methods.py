"""The methods for parts of large content, which `Session` and `Sessions` share."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from os import PathLike

    from ._dugong import SessionCore
    from ._ranges import RemoteFile


class Ranges:
    """Fetches parts of a target. Each method has a twin that begins with `co_`, to be awaited under asyncio or trio."""

    _max_content: int

    def _place(self, target: str) -> tuple[SessionCore, str]:
        """Return the session that has the target, and what it is called there."""
        raise NotImplementedError

    async def _co_place(self, target: str) -> tuple[SessionCore, str]:
        """Return the same, for a task."""
        raise NotImplementedError

    def _url(self, target: str) -> str | None:
        """Return the URL by which a later run finds its download again, unless it is that of the place."""
        return None

    def cat_ranges(self, target: str, ranges: Iterable[tuple[int, int]], *, merge_gap: int = 65536) -> list[bytes]:
        """Fetch many ranges of a target in one burst, and return their bytes in the order asked. Twin: `co_cat_ranges`.

        A range is `(start, end)`, without the byte at its end. Ranges less than *merge_gap* bytes apart come in one
        response. It raises `ValueError` for a range that cannot be, `RangeError` for one beyond the end, or if the
        content changes or the server sends other bytes, and `RequestFailed`.
        """
        from ._ranges import cat_ranges  # noqa: PLC0415

        return cat_ranges(*self._place(target), ranges, merge_gap, self._max_content)

    async def co_cat_ranges(
        self, target: str, ranges: Iterable[tuple[int, int]], *, merge_gap: int = 65536
    ) -> list[bytes]:
        """Fetch many ranges of a target. The twin of `cat_ranges`."""
        from ._ranges import co_cat_ranges  # noqa: PLC0415

        return await co_cat_ranges(*await self._co_place(target), ranges, merge_gap, self._max_content)

    def download(
        self,
        target: str,
        path: str | bytes | PathLike[str] | PathLike[bytes],
        *,
        progress: Callable[[int, int | None], object] | None = None,
        part_size: int = 8 << 20,
        parts: int = 8,
        sha256: str | None = None,
    ) -> int:
        """Download a target to a file, in *parts* of *part_size* bytes at a time, and return its length.

        The content collects in a hidden file beside *path*, which gets its name at the end. A later call continues
        what an earlier one has left, if the content is still the same. *progress* is called with the number of bytes
        that are there, and with the total or None. *sha256* is the digest that the content must have, in hexadecimal
        digits. It raises `RangeError`, `OSError` and `RequestFailed`. Twin: `co_download`.
        """
        from ._ranges import download  # noqa: PLC0415

        return download(*self._place(target), path, progress, part_size, parts, sha256, self._url(target))

    async def co_download(
        self,
        target: str,
        path: str | bytes | PathLike[str] | PathLike[bytes],
        *,
        progress: Callable[[int, int | None], object] | None = None,
        part_size: int = 8 << 20,
        parts: int = 8,
        sha256: str | None = None,
    ) -> int:
        """Download a target to a file. The twin of `download`."""
        from ._ranges import co_download  # noqa: PLC0415

        place = await self._co_place(target)
        return await co_download(*place, path, progress, part_size, parts, sha256, self._url(target))

    def open(self, target: str, *, block_size: int = 65536, blocks: int = 512, read_ahead: int = 4 << 20) -> RemoteFile:
        """Open a target as a binary file that you can read and seek, such as for `zipfile` or pyarrow. Twin: `co_open`.

        At most *blocks* blocks of *block_size* bytes stay in memory. A sequential read fetches up to *read_ahead* bytes
        ahead.
        """
        from ._ranges import RemoteFile  # noqa: PLC0415

        return RemoteFile(*self._place(target), block_size, blocks, read_ahead, target).begin()

    async def co_open(
        self, target: str, *, block_size: int = 65536, blocks: int = 512, read_ahead: int = 4 << 20
    ) -> RemoteFile:
        """Open a target as a binary file, which tasks read by `co_read`. The twin of `open`."""
        from ._ranges import RemoteFile  # noqa: PLC0415

        return await RemoteFile(*await self._co_place(target), block_size, blocks, read_ahead, target).co_begin()
