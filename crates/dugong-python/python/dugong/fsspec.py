"""A file system of fsspec for http and https, over `dugong.Sessions`.

    fs = fsspec.filesystem('dugong+https')
    parts = fs.cat_ranges(['https://example.org/a'] * 2, [0, 1000], [10, 1010])

    dugong.fsspec.install()  # http and https, too
    pandas.read_parquet('https://example.org/table.parquet')

It needs the package fsspec: `pip install dugong[fsspec]`.
"""

# fsspec has no types, so the strict rules would ask for a cast at each of its values.
# pyright: basic

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import io
import os
import tempfile
import threading
import weakref
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import fsspec
from fsspec.asyn import get_loop, sync, sync_wrapper
from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.utils import isfilelike

from ._dugong import split_url
from ._failures import RangeError, RequestFailed
from ._fsspec_answers import Part, Version, error_of, failure_of, fields_of, links_of, size_of
from ._fsspec_files import BLOCK, AsyncReading, Reading, Upload
from ._ranges import RemoteFile
from ._request import Request
from ._sessions import Sessions
from ._waiting import perform

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from ._dugong import Reply

    # fsspec has no types.
    class AsyncFileSystem:
        def __init__(self, *args: Any, **kwargs: Any) -> None: ...
        def __getattr__(self, name: str, /) -> Any: ...
        async def _glob(self, path: str, **kwargs: Any) -> Any: ...
        @classmethod
        def from_json(cls, blob: str) -> Any: ...

else:
    from fsspec.asyn import AsyncFileSystem

__all__ = ['FileSystem', 'install']


def install() -> None:
    """Let fsspec use `FileSystem` for all http and https URLs. Instances that exist stay what they are."""
    for protocol in 'http', 'https':
        fsspec.register_implementation(protocol, FileSystem, clobber=True)


class FileSystem(AsyncFileSystem):
    """Files at http and https URLs; with `dugong+` before them, they name this file system.

    - The keywords of `dugong.Session` are options, such as *headers*, *auth*, *connections* and *timeout*; and
      *max_sessions* of `Sessions`. It follows 10 redirects, unless you pass *redirects*.
    - A directory is a URL that ends with a slash, or that the server redirects to one with a slash. Its listing
      consists of the links below it in its HTML page, and with *simple_links*, also of the URLs in the text.
    - Writing is PUT, removing is DELETE, making a directory is PUT of a URL with a slash. `mode='create'` sends
      `If-None-Match: *`.

    404 and 410 raise `FileNotFoundError`, 401 and 403 `PermissionError`, other statuses `OSError`, bad URLs
    `ValueError`.
    """

    protocol: tuple[str, ...] = ('http', 'https', 'dugong+http', 'dugong+https')
    sep: str = '/'
    _pid: int

    def __init__(
        self,
        *,
        simple_links: bool = True,
        asynchronous: bool = False,
        loop: asyncio.AbstractEventLoop | None = None,
        batch_size: int | None = None,
        **options: Any,
    ) -> None:
        host = {name: options.pop(name) for name in _HOST_OPTIONS if name in options}
        super().__init__(asynchronous=asynchronous, loop=loop, batch_size=batch_size, **host)
        self.simple_links = simple_links
        self._settings: dict[str, Any] = {'redirects': 10, 'max_content': 1 << 62}
        self._settings |= {name: value for name, value in options.items() if name not in _IGNORED}
        if isinstance(auth := self._settings.get('auth'), list) and len(auth) == 2:
            # JSON has no tuples.
            self._settings['auth'] = tuple(auth)
        # Wrong settings are errors here, not in the first request.
        self._for_threads = Sessions(**self._settings)
        self._redirects: int = self._settings['redirects']
        self._begin()

    def _begin(self) -> None:
        """Begin without connections: in the constructor, and in a forked child."""
        self._owner = os.getpid()
        self._guard = threading.Lock()
        self._of_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Sessions] = weakref.WeakKeyDictionary()

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop of the blocking methods."""
        if self._pid != os.getpid():
            # The threads of the parent, and its loop, are not in the child.
            self._pid = os.getpid()
            self._loop = None if self.asynchronous else get_loop()
        loop: asyncio.AbstractEventLoop | None = self._loop
        return loop

    @property
    def sessions(self) -> Sessions:
        """The sessions of the running event loop, or those of all threads without one."""
        if self._owner != os.getpid():
            self._begin()
            self._for_threads = Sessions(**self._settings)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return self._for_threads
        with self._guard:
            found = self._of_loops.get(loop)
            if found is None:
                for old in [old for old in self._of_loops if old.is_closed()]:
                    self._of_loops.pop(old).close()
                found = self._of_loops[loop] = Sessions(**self._settings)
            return found

    @property
    def fsid(self) -> str:
        """The name of the kind of file system."""
        return 'http'

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        """Return the URL, with its slash at the end if it has one."""
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        return os.fspath(path).removeprefix('dugong+')

    def unstrip_protocol(self, name: str) -> str:
        """Return the URL."""
        url: str = self._strip_protocol(name)
        return url

    @classmethod
    def _parent(cls, path: str) -> str:
        path = cls._strip_protocol(path).rstrip('/')
        parent = path.rpartition('/')[0]
        return parent if '://' in parent else ''

    async def _send(
        self,
        method: str,
        url: str,
        *,
        headers: Any = None,
        content: Any = None,
        stream: bool = False,
        retry: bool | None = None,
    ) -> tuple[Reply, str]:
        """Make a request, and return the reply and the URL that it is of, after redirects."""
        request = Request(method, _encoded(url), headers=headers, content=content, stream=stream, retry=retry)
        sessions = self.sessions
        is_foreign = False
        hops = self._redirects
        while True:
            core, routed = sessions._route(request, is_foreign)
            try:
                reply: Reply = await perform(core, routed, request)
            except RequestFailed as exc:
                failure = failure_of(exc)
                if failure is exc:
                    raise
                raise failure from exc
            found = sessions._follow(request, reply) if hops else None
            if found is None:
                return reply, request.target
            await reply.co_close()
            request, is_foreign, hops = found[0], is_foreign or found[1], hops - 1

    async def _locate(self, path: str) -> tuple[dict[str, Any], str]:
        """Return the info of a URL, and the URL after redirects."""
        url = self._strip_protocol(path)
        reply, final = await self._send('HEAD', url)
        is_directory = _is_directory(final)
        size = size_of(reply)
        if reply.status in _NO_HEAD or (reply.status in (200, 206) and size is None and not is_directory):
            reply, final = await self._send('GET', url, headers={'Range': 'bytes=0-0'}, stream=True)
            await reply.co_close()
            is_directory = _is_directory(final)
            size = size_of(reply)
        if reply.status >= 300 and not (reply.status == 416 and size == 0):
            raise error_of(reply, url)
        kind = {'size': None, 'type': 'directory'} if is_directory else {'size': size, 'type': 'file'}
        return {'name': url, **kind, **fields_of(reply)}, final

    async def _info(self, path: str, **_options: Any) -> dict[str, Any]:
        return (await self._locate(path))[0]

    async def _exists(self, path: str, strict: bool = False, **_options: Any) -> bool:
        """Return whether a request for the URL succeeds; with *strict*, 404 and 410 only are False, others raise."""
        try:
            await self._info(path)
        except FileNotFoundError:
            return False
        except (OSError, ValueError):
            if strict:
                raise
            return False
        return True

    async def _isdir(self, path: str) -> bool:
        url = self._strip_protocol(path)
        for one in (url,) if url.endswith('/') else (url, url + '/'):
            try:
                return bool((await self._info(one))['type'] == 'directory')
            except FileNotFoundError:
                continue
            except (OSError, ValueError):
                return False
        return False

    async def _ls(self, path: str, detail: bool = True, **_options: Any) -> list[Any]:
        url = self._strip_protocol(path)
        reply, final = await self._send('GET', url, stream=True)
        if reply.status == 404 and not url.endswith('/'):
            await reply.co_close()
            reply, final = await self._send('GET', url + '/', stream=True)
        async with reply:
            if reply.status >= 300:
                raise error_of(reply, url)
            names: dict[str, str] = {}
            if reply.headers['Content-Type'] is None or reply.headers.get_content_type() in _HTML:
                page = await _whole(reply)
                names = links_of(page.decode('utf-8', 'replace'), final, self.simple_links)
        if not names and not _is_directory(final):
            found = [await self._info(url)]
        else:
            found = [{'name': name, 'size': None, 'type': kind} for name, kind in sorted(names.items())]
        return found if detail else [info['name'] for info in found]

    async def _glob(self, path: str, maxdepth: int | None = None, **options: Any) -> Any:
        """Find files by their names. A `?` begins the query, unless there is no such URL."""
        path = self._strip_protocol(path)
        if '?' in path and not any(sign in path for sign in '*['):
            with contextlib.suppress(FileNotFoundError):
                info = await self._info(path)
                return {path: info} if options.get('detail') else [path]
        elif '?' in path:
            path = path.replace('?', '[?]')
        return await super()._glob(path, maxdepth=maxdepth, **options)

    async def _counted(self, url: str, start: int | None, end: int | None, version: Version) -> Part:
        """Return a part of a content, some of whose limits count from its end."""
        size = (await self._info(url))['size']
        if size is None:
            raise OSError(errno.EINVAL, 'the server does not tell the size, so limits cannot count from the end', url)
        first, last = (
            max(size + limit, 0) if limit < 0 else limit for limit in (start or 0, size if end is None else end)
        )
        # The limits are wrong for a content of another size.
        version.check_size(url, size)
        return Part(url, first, last, version)

    async def _cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        url = self._strip_protocol(path)
        part = (
            await self._counted(url, start, end, Version()) if _needs_size(start, end) else Part(url, start or 0, end)
        )
        if part.is_empty():
            return b''
        return await self._fetch(part, options.get('headers'))

    async def _fetch(self, part: Part, headers: Any, got: bytes = b'') -> bytes:
        """Fetch the rest of a part. A server may send less than it is asked for, but some of it each time."""
        # One piece alone is not copied.
        pieces = [got] if got else []
        while not part.is_done:
            reply, _ = await self._send('GET', part.url, headers=[*_pairs(headers), *part.fields()])
            pieces.append(part.take(reply))
        return b''.join(pieces)

    async def _cat_ranges(
        self,
        paths: list[str],
        starts: Any,
        ends: Any,
        max_gap: int | None = None,
        batch_size: int | None = None,
        on_error: str = 'return',
        **options: Any,
    ) -> list[Any]:
        """Fetch ranges of many files in one burst. They are pipelined, so they need no *max_gap* or *batch_size*."""
        if not isinstance(paths, list):
            raise TypeError(f'paths has to be a list, not {type(paths).__name__}')
        starts = list(starts) if hasattr(starts, '__iter__') else [starts] * len(paths)
        ends = list(ends) if hasattr(ends, '__iter__') else [ends] * len(paths)
        if not len(paths) == len(starts) == len(ends):
            raise ValueError(f'{len(paths)} paths have {len(starts)} starts and {len(ends)} ends')
        found: list[Any] = [b''] * len(paths)
        headers = _pairs(options.get('headers'))
        asked = list(zip(map(self._strip_protocol, paths), starts, ends, strict=True))
        versions = {url: Version() for url, _, _ in asked}
        parts: list[Any] = [
            None if _needs_size(start, end) else Part(url, start or 0, end, versions[url]) for url, start, end in asked
        ]
        places = [place for place, part in enumerate(parts) if part is None]
        for place, part in zip(
            places,
            await _gathered([self._counted(*asked[place], versions[asked[place][0]]) for place in places]),
            strict=True,
        ):
            parts[place] = part
        wanted: list[tuple[int, Part]] = []
        for place, part in enumerate(parts):
            if not isinstance(part, Part):
                found[place] = part
            elif not part.is_empty():
                wanted.append((place, part))
        requests = (('GET', _encoded(part.url), [*headers, *part.fields()]) for _, part in wanted)
        short: list[tuple[int, Part]] = []
        async with self.sessions.co_run(requests, ordered=False) as run:
            async for outcome in run:
                place, part = wanted[outcome.index]
                try:
                    if outcome.reply is None:
                        raise failure_of(outcome.error)
                    found[place] = part.take(outcome.reply)
                except (OSError, ValueError) as exc:
                    found[place] = exc
                else:
                    if not part.is_done:
                        short.append((place, part))
        rest = await _gathered([self._fetch(part, headers, found[place]) for place, part in short])
        for (place, _), content in zip(short, rest, strict=True):
            found[place] = content
        if on_error != 'return':
            for content in found:
                if isinstance(content, BaseException):
                    raise content
        return found

    async def _get_file(self, rpath: str, lpath: Any, callback: Any = DEFAULT_CALLBACK, **options: Any) -> None:
        url = self._strip_protocol(rpath)
        is_path = not _is_file(lpath)
        if is_path and os.path.isdir(lpath):
            return
        reply, final = await self._send('GET', url, headers=options.get('headers'), stream=True)
        async with reply:
            if reply.status >= 300:
                raise error_of(reply, url)
            if _is_directory(final) and not url.endswith('/') and is_path:
                os.makedirs(lpath, exist_ok=True)
                return
            callback.set_size(size_of(reply))
            with _written(lpath) as file:
                await _copy(reply, file, callback)

    async def _put_file(
        self,
        lpath: Any,
        rpath: str,
        mode: str = 'overwrite',
        callback: Any = DEFAULT_CALLBACK,
        method: str = 'put',
        **options: Any,
    ) -> None:
        if method.lower() not in ('put', 'post'):
            raise ValueError(f"method has to be 'put' or 'post', not {method!r}")
        is_path = not _is_file(lpath)
        if is_path and os.path.isdir(lpath):
            await self._makedirs(rpath, exist_ok=True)
            return
        with open(lpath, 'rb') if is_path else contextlib.nullcontext(lpath) as file:
            try:
                start = file.tell()
                length = file.seek(0, os.SEEK_END) - start
            except (OSError, AttributeError):
                start, length = 0, None
            callback.set_size(length)
            headers = _pairs(options.get('headers'))
            content: Any = _pieces(file, None, callback)
            if length is not None:
                headers.append(('Content-Length', str(length)))
                # Called again for each attempt.
                content = functools.partial(_pieces, file, start, callback)
            await self._write(rpath, content, mode, headers, method.upper())

    async def _pipe_file(self, path: str, value: Any, mode: str = 'overwrite', **options: Any) -> None:
        try:
            content = value if isinstance(value, bytes) else bytes(memoryview(value))
        except TypeError:
            raise TypeError(f'the content has to be bytes, not {type(value).__name__}') from None
        await self._write(path, content, mode, options.get('headers'))

    async def _write(self, path: str, content: Any, mode: str, headers: Any = None, method: str = 'PUT') -> None:
        if mode not in ('overwrite', 'create'):
            raise ValueError(f"mode has to be 'overwrite' or 'create', not {mode!r}")
        url = self._strip_protocol(path)
        is_new = mode == 'create'
        lines = _pairs(headers)
        if is_new:
            lines.append(('If-None-Match', '*'))
        # A repeat of a request that has created the file would be told that it exists.
        reply, _ = await self._send(method, url, headers=lines, content=content, retry=False if is_new else None)
        if reply.status == 412 and is_new:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), url)
        if reply.status >= 300:
            raise error_of(reply, url)

    async def _rm_file(self, path: str, **_options: Any) -> None:
        url = self._strip_protocol(path)
        reply, _ = await self._send('DELETE', url)
        if reply.status >= 300:
            raise error_of(reply, url)

    async def _rm(
        self, path: Any, recursive: bool = False, batch_size: int | None = None, maxdepth: int | None = None, **_: Any
    ) -> None:
        """Delete files in one burst; then directories, the deepest ones first, as far as the server has them."""
        files: set[str] = set(await self._expand_path(path, maxdepth=maxdepth))
        directories: set[str] = set()
        if recursive:
            for one in list(files):
                found: Any = await self._find(one, maxdepth=maxdepth, withdirs=True, detail=True)
                inner = {name for name, info in found.items() if info.get('type') == 'directory'}
                files |= found.keys()
                directories |= inner
        files -= directories
        failed = [one for one in await _gathered([self._rm_file(one) for one in sorted(files)]) if one is not None]
        if failed:
            raise failed[0]
        for one in sorted(directories, key=len, reverse=True):
            url = one.rstrip('/') + '/'
            reply, _final = await self._send('DELETE', url)
            if reply.status >= 300 and reply.status not in _NO_DIRECTORIES:
                raise error_of(reply, url)

    async def _mkdir(self, path: str, create_parents: bool = True, **_options: Any) -> None:
        """Make a directory by PUT; nothing, if the server has no directories."""
        url = self._strip_protocol(path).rstrip('/') + '/'
        if urlsplit(url).path in ('', '/'):
            return
        reply, _ = await self._send('PUT', url, headers={'If-None-Match': '*'}, content=b'', retry=False)
        if reply.status == 412:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), url)
        if reply.status >= 300 and reply.status not in _NO_DIRECTORIES:
            raise error_of(reply, url)

    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:
        with contextlib.suppress(*[FileExistsError] if exist_ok else []):
            await self._mkdir(path)

    async def _cp_file(self, path1: str, path2: str, **_options: Any) -> None:
        """Copy by GET and PUT: the server does not copy by itself."""
        source = self._strip_protocol(path1)
        reply, final = await self._send('GET', source, stream=True)
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
            async with reply:
                if reply.status >= 300:
                    raise error_of(reply, source)
                is_directory = _is_directory(final) and not urlsplit(source).query
                if not is_directory:
                    await _copy(reply, file, DEFAULT_CALLBACK)
            if is_directory:
                await self._makedirs(path2, exist_ok=True)
                return
            file.seek(0)
            await self._write(path2, file, 'overwrite')

    async def _touch(self, path: str, truncate: bool = True, **_options: Any) -> None:
        """Make an empty file. One that exists keeps its content if *truncate* is false, and its time."""
        if truncate:
            await self._write(path, b'', 'overwrite')
            return
        with contextlib.suppress(FileExistsError):
            await self._write(path, b'', 'create')

    touch: Any = sync_wrapper(_touch)

    def _open(
        self, path: str, mode: str = 'rb', block_size: int | None = None, autocommit: bool = True, **_options: Any
    ) -> Any:
        """Open a file for reading with `Session.open`, or for writing. Options that it does not know are ignored."""
        url = self._strip_protocol(path)
        if mode in ('wb', 'xb'):
            if mode == 'xb' and self.exists(url):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), url)
            return Upload(self, url, mode, autocommit=autocommit)
        if mode != 'rb':
            raise NotImplementedError(f"mode has to be 'rb', 'wb' or 'xb', not {mode!r}")
        try:
            return Reading(self, url, self._remote(url, block_size).begin())
        except RangeError as exc:
            # It names no status, and follows no redirect.
            final: Any = sync(self.loop or get_loop(), self._target_of, url, exc)
            return Reading(self, url, self._remote(final, block_size).begin())

    async def open_async(self, path: str, mode: str = 'rb', block_size: int | None = None, **_options: Any) -> Any:
        """Open a file for reading, by `await file.read()`."""
        url = self._strip_protocol(path)
        if mode != 'rb':
            raise NotImplementedError(f"mode has to be 'rb', not {mode!r}")
        try:
            return AsyncReading(self, url, await _begun(self._remote(url, block_size)))
        except RangeError as exc:
            final = await self._target_of(url, exc)
            return AsyncReading(self, url, await _begun(self._remote(final, block_size)))

    def _remote(self, url: str, block_size: int | None) -> RemoteFile:
        origin, target = split_url(_encoded(url))
        core = self.sessions._core(origin, False)
        size = block_size or BLOCK
        return RemoteFile(core, target, size, max(_IN_MEMORY * 2 // size, 2), _READ_AHEAD)

    async def _target_of(self, url: str, error: RangeError) -> Any:
        """Return the URL to which the server redirects, or say why a file cannot be opened."""
        info, final = await self._locate(url)
        if info['type'] == 'directory' and not url.endswith('/'):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), url)
        if final == _encoded(url):
            raise error
        return final


async def _begun(file: RemoteFile) -> RemoteFile:
    return await file.co_begin()


async def _gathered(coroutines: list[Coroutine[Any, Any, Any]]) -> list[Any]:
    """Run coroutines together, and return what they return or raise."""
    return await asyncio.gather(*coroutines, return_exceptions=True)


async def _whole(reply: Reply) -> bytes:
    file = io.BytesIO()
    await _copy(reply, file, DEFAULT_CALLBACK)
    return file.getvalue()


async def _copy(reply: Reply, file: Any, callback: Any) -> None:
    """Write the content to a file."""
    try:
        async for piece in reply.co_iter_bytes():
            file.write(piece)
            callback.relative_update(len(piece))
    except RequestFailed as exc:
        failure = failure_of(exc)
        if failure is exc:
            raise
        raise failure from exc


def _pieces(file: Any, start: int | None, callback: Any) -> Iterator[bytes]:
    if start is not None:
        file.seek(start)
        callback.absolute_update(0)
    while piece := file.read(_PIECE):
        yield piece
        callback.relative_update(len(piece))


@contextlib.contextmanager
def _written(path: Any) -> Iterator[Any]:
    """Open a file for writing. It gets its name when all is written."""
    if _is_file(path):
        yield path
        return
    path = os.fspath(path)
    where, name = os.path.split(path)
    partial = os.path.join(where, f'.{name}.{os.getpid()}-{threading.get_ident()}-{os.urandom(4).hex()}.part')
    try:
        with open(partial, 'xb') as file:
            yield file
        os.replace(partial, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)
        raise


def _encoded(url: str) -> str:
    """Return a URL as it is sent: without a fragment, and with its other characters percent-encoded."""
    from urllib.parse import quote  # noqa: PLC0415

    return quote(url.partition('#')[0], safe="%/:?[]@!$&'()*+,;=~")


def _is_directory(url: str) -> bool:
    parts = urlsplit(url)
    return (parts.path or '/').endswith('/') and not parts.query


def _is_file(given: Any) -> bool:
    return bool(isfilelike(given))


def _needs_size(start: int | None, end: int | None) -> bool:
    """Whether a limit counts from the end, other than that of the last bytes."""
    return end is not None and (end < 0 or (start or 0) < 0)


def _pairs(headers: Any) -> list[tuple[str, str]]:
    return list(headers.items() if hasattr(headers, 'items') else headers or ())


_HTML = ('text/html', 'application/xhtml+xml')
# HEAD is not allowed, or not with this signature.
_NO_HEAD = (400, 403, 405, 501)
# Answers to PUT or DELETE of a URL with a slash, by servers that have files only.
_NO_DIRECTORIES = (400, 404, 405, 409, 410, 415, 501)
_HOST_OPTIONS = ('use_listings_cache', 'listings_expiry_time', 'max_paths')
# Options of the file system that this one replaces, which mean nothing here. pandas tries again with `anon` after a
# PermissionError, whatever the file system.
_IGNORED = ('block_size', 'cache_type', 'cache_options', 'same_scheme', 'size_policy', 'encoded', 'anon')
_PIECE = 1 << 20
_READ_AHEAD = 4 << 20
_IN_MEMORY = 16 << 20
