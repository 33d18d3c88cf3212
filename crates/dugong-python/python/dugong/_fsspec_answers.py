"""What answers mean to fsspec: ranges, links, information, errors."""

from __future__ import annotations

import errno
import os
import re
from html import unescape
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from urllib.parse import urldefrag, urljoin, urlsplit

if TYPE_CHECKING:
    from ._dugong import Reply


def error_of(reply: Reply, url: str) -> OSError:
    """Return the error for a status."""
    if reply.status in (404, 410):
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), url)
    if reply.status in (401, 403):
        return PermissionError(errno.EACCES, f'the server answered {reply.status} {reply.reason}'.rstrip(), url)
    return OSError(errno.EIO, f'the server answered {reply.status} {reply.reason}'.rstrip(), url)


def failure_of(error: BaseException | None) -> BaseException:
    """Return the error of a request without a reply as an `OSError` or `ValueError`."""
    if isinstance(error, (OSError, ValueError)):
        return error
    failure = OSError(str(error))
    failure.__cause__ = error
    return failure


def fields_of(reply: Reply) -> dict[str, Any]:
    """Return what header fields tell of a file."""
    found = {
        'mimetype': reply.headers.get_content_type() if reply.headers['Content-Type'] else None,
        'ETag': reply.headers['ETag'],
        'Last-Modified': reply.headers['Last-Modified'],
        'partial': True if reply.headers['Accept-Ranges'] == 'bytes' or reply.status == 206 else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def size_of(reply: Reply) -> int | None:
    """Return the size of the whole content, if the reply tells one."""
    if reply.status in (206, 416):
        found = _RANGE.fullmatch(_line(reply, 'Content-Range')) or _NO_RANGE.fullmatch(_line(reply, 'Content-Range'))
        return _number(found[found.re.groups]) if found else None
    # Of two lengths, one is wrong; and a length beside `Transfer-Encoding` means nothing.
    if reply.status != 200 or reply.headers['Transfer-Encoding'] is not None:
        return None
    lengths = set(reply.headers.get_all('Content-Length', ()))
    return _number(lengths.pop()) if len(lengths) == 1 else None


def _line(reply: Reply, name: str) -> str:
    """Return a field. Two lines of it make a value that has no meaning."""
    return ', '.join(reply.headers.get_all(name, ()))


def _number(text: str) -> int | None:
    return int(text) if _DIGITS.fullmatch(text) else None


class Version:
    """The version of a content that the first answer had. Later answers must have the same."""

    def __init__(self) -> None:
        self._fields: tuple[str, str] | None = None
        self._size: int | None = None

    @property
    def strong_tag(self) -> str | None:
        """The ETag, if it tells of single bytes."""
        tag = self._fields[0] if self._fields else ''
        return tag if _STRONG.fullmatch(tag) else None

    def check(self, url: str, reply: Reply, size: int | None) -> None:
        """Take the version, or refuse another one."""
        tag, time = _line(reply, 'ETag'), _line(reply, 'Last-Modified')
        if self._fields is None:
            self._fields = tag, time
        _compare(url, 'ETag', self._fields[0], tag)
        if self.strong_tag is None:
            _compare(url, 'Last-Modified', self._fields[1], time)
        self.check_size(url, size)

    def check_size(self, url: str, size: int | None) -> None:
        """Take the size, or refuse another one."""
        if self._size is None:
            self._size = size
        if size is not None:
            _compare(url, 'size', self._size, size)

    def check_end(self, url: str, reply: Reply, end: int) -> None:
        """Refuse a 416 that does not mean that the content ends here."""
        if tag := _line(reply, 'ETag'):
            _compare(url, 'ETag', self._fields[0] if self._fields else '', tag)
        self.check_size(url, size_of(reply))
        if self._size not in (None, end):
            raise OSError(errno.EIO, f'the content has {self._size} bytes, but the server has none at {end}', url)


def _compare(url: str, what: str, was: object, now: object) -> None:
    if was != now:
        values = ', now '.join('missing' if value == '' else str(value) for value in (was, now))
        raise OSError(errno.EIO, f'the content changed: its {what} was {values}', url)


class Part:
    """A part of a content: from `start`, or as many bytes before the end; up to `end`, or all."""

    def __init__(self, url: str, start: int, end: int | None, version: Version | None = None) -> None:
        self.url = url
        self.start = start
        self.end = end
        self.version = version or Version()
        self.is_done = False
        self.is_begun = False

    def is_empty(self) -> bool:
        """Whether it has no bytes."""
        return self.end is not None and self.end <= self.start

    def fields(self) -> list[tuple[str, str]]:
        """Return the fields that ask for the rest of it."""
        if self.start < 0:
            return [('Range', f'bytes={self.start}')]
        if not self.start and self.end is None:
            return []
        lines = [('Range', f'bytes={self.start}-{"" if self.end is None else self.end - 1}')]
        if self.is_begun and (tag := self.version.strong_tag):
            # A content that changed is not sent: the answer is 412. Many servers do not know it.
            lines.append(('If-Match', tag))
        return lines

    def take(self, reply: Reply) -> bytes:
        """Return what a reply has of it."""
        if reply.status == 206:
            return self._take_range(reply)
        if reply.status == 200:
            return self._take_whole(reply)
        if reply.status == 416 and self.is_begun:
            # The server did not tell the size before.
            self.version.check_end(self.url, reply, self.start)
            self.is_done = True
            return b''
        if reply.status == 412 and self.is_begun and (tag := self.version.strong_tag):
            raise self._error(f'the content changed: the server answered 412 to If-Match: {tag}')
        raise error_of(reply, self.url)

    def _take_whole(self, reply: Reply) -> bytes:
        """Cut it out of the whole content, which a server without ranges sends."""
        content = reply.content
        self.version.check(self.url, reply, len(content))
        if self.start > len(content) or (self.start == len(content) > 0 and not self.is_begun):
            raise self._error(f'the content has {len(content)} bytes, so none at {self.start}')
        self.is_done = True
        return content[self.start : self.end]

    def _take_range(self, reply: Reply) -> bytes:
        """Take a range as `Content-Range` names it."""
        content, named = reply.content, _line(reply, 'Content-Range')
        if not named:
            raise self._error(f'the answer 206 has {len(content)} bytes, and no Content-Range to tell which')
        found = _RANGE.fullmatch(named)
        if not found:
            raise self._error(f'{len(content)} bytes came as Content-Range {named!r}')
        first, after, size = int(found[1]), int(found[2]) + 1, _number(found[3])
        # An empty range would let it ask forever.
        if after <= first or after - first != len(content) or (size is not None and after > size):
            raise self._error(f'{len(content)} bytes came as Content-Range {named!r}')
        self.version.check(self.url, reply, size)
        if self.start < 0:
            if size is None or after != size or first != max(size + self.start, 0):
                raise self._error(f'the last {-self.start} bytes came as Content-Range {named!r}')
            self.is_done = True
            return content
        if first != self.start or (self.end is not None and after > self.end):
            wanted = f'{self.start}-{"" if self.end is None else self.end - 1}'
            raise self._error(f'the range {wanted} came as Content-Range {named!r}')
        self.start = after
        self.is_done = after in (self.end, size)
        self.is_begun = True
        return content

    def _error(self, message: str) -> OSError:
        return OSError(errno.EIO, message, self.url)


class _Anchors(HTMLParser):
    """Collects the targets of links."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take the target of a link."""
        self.found += [value for name, value in attrs if tag == 'a' and name == 'href' and value]


def links_of(text: str, url: str, with_text: bool) -> dict[str, str]:
    """Return the URLs below *url* in a page, and whether each is a file or a directory."""
    anchors = _Anchors()
    anchors.feed(text)
    anchors.close()
    targets = anchors.found
    if with_text:
        targets += [unescape(found) for found in _URL.findall(text)]
    base = url.partition('?')[0].rstrip('/') + '/'
    scheme = urlsplit(base).scheme
    names: dict[str, str] = {}
    for target in targets:
        try:
            link = urldefrag(urljoin(url, target.strip())).url
            parts = urlsplit(link)
        except ValueError:
            continue
        if parts.scheme not in ('http', 'https'):
            continue
        below = link.removeprefix(parts.scheme)
        # Links that sort a listing begin with a question mark.
        if not below.startswith(base.removeprefix(scheme)) or parts.path == urlsplit(base).path:
            continue
        kind = 'directory' if parts.path.endswith('/') and not parts.query else 'file'
        name = link.rstrip('/') if kind == 'directory' else link
        if names.get(name) != 'directory':
            names[name] = kind
    return names


_RANGE = re.compile(r'bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)', re.ASCII)
_NO_RANGE = re.compile(r'bytes \*/(\d{1,18})', re.ASCII)
_DIGITS = re.compile(r'\d{1,18}', re.ASCII)
_STRONG = re.compile(r'"[^"]*"')
_URL = re.compile(r'https?://[^\s"\'<>]+')
