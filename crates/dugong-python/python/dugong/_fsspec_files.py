"""Files of `dugong.fsspec` that are open."""

# fsspec has no types.
# pyright: basic

from __future__ import annotations

import io
import sys
import warnings
from typing import TYPE_CHECKING, Any

from fsspec.asyn import AbstractAsyncStreamedFile
from fsspec.spec import AbstractBufferedFile

if TYPE_CHECKING:
    from ._ranges import RemoteFile

BLOCK = 65536


class Reading(io.BufferedReader):
    """A file that is open for reading."""

    def __init__(self, fs: Any, path: str, raw: RemoteFile) -> None:
        super().__init__(raw, BLOCK)
        self.fs = fs
        self.path = self.full_name = path
        self.size = raw.size
        self.details = {'name': path, 'size': raw.size, 'type': 'file'}

    def __reduce_ex__(self, _protocol: object) -> Any:
        return _reopen, (self.fs, self.path, self.tell())


def _reopen(fs: Any, path: str, position: int) -> Any:
    file = fs.open(path, 'rb')
    file.seek(position)
    return file


class AsyncReading(AbstractAsyncStreamedFile):  # type: ignore[misc]  # fsspec has no types
    """A file that tasks read."""

    def __init__(self, fs: Any, path: str, raw: RemoteFile) -> None:
        super().__init__(fs, path, 'rb', cache_type='none', size=raw.size)
        self._raw = raw

    async def _fetch_range(self, start: int, end: int) -> bytes:
        self._raw.seek(start)
        return await self._raw.co_read(max(end - start, 0))

    async def close(self) -> None:
        """Close it."""
        self.closed = True
        await self._raw.co_close()

    def __del__(self) -> None:
        # The base class would make a coroutine, and leave it. The session gives up unread content.
        self.closed = True


class Upload(AbstractBufferedFile):  # type: ignore[misc]  # fsspec has no types
    """A file that is open for writing: it collects the content in memory, and sends it at the end."""

    buffer: Any

    def _initiate_upload(self) -> None:
        self.buffer.seek(0, io.SEEK_END)

    def _upload_chunk(self, final: bool = False) -> bool:
        if final and self.autocommit:
            self.commit()
        # False: keep the buffer.
        return False

    def commit(self) -> None:
        """Send the content."""
        self.fs.pipe_file(self.path, self.buffer.getvalue(), mode='create' if self.mode == 'xb' else 'overwrite')

    def discard(self) -> None:
        """Send nothing."""
        self.buffer = None
        self.closed = True

    def __del__(self) -> None:
        if getattr(self, 'closed', True):
            return
        if sys.is_finalizing():
            # The event loop has ended, so sending would wait forever.
            self.discard()
            warnings.warn(
                f'{self.path} was not closed, so nothing was sent', ResourceWarning, stacklevel=2, source=self
            )
        else:
            self.close()

    def __exit__(self, kind: Any, *_rest: Any) -> None:
        # Half a content must not replace a file.
        if kind is None:
            self.close()
        else:
            self.discard()
