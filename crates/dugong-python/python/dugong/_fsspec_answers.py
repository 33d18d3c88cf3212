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


class Part:
    """A part of a content: from `start`, or as many bytes before the end; up to `end`, or all."""

    def __init__(self, url: str, start: int, end: int | None) -> None:
        self.url = url
        self.start = start
        self.end = end
        self.tag: str | None = None
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
        if self.is_begun and self.tag and not self.tag.startswith('W/'):
            lines.append(('If-Match', self.tag))
        return lines

    def check_version(self, tags: dict[str, str]) -> None:
        """Refuse a part of another version than the others have."""
        if self.tag and tags.setdefault(self.url, self.tag) != self.tag:
            raise OSError(errno.EIO, f'the content changed: its ETag was {tags[self.url]}, now {self.tag}', self.url)

    def take_whole(self, content: bytes) -> bytes:
        """Cut it out of the whole content, which a server without ranges sends."""
        if self.is_begun or self.start >= max(len(content), 1):
            raise OSError(errno.EIO, f'the content has {len(content)} bytes, so none at {self.start}', self.url)
        self.is_done = True
        return content[self.start : self.end]

    def take(self, content: bytes, named: str) -> bytes:
        """Take a range as `Content-Range` names it."""
        found = _RANGE.fullmatch(named)
        first, last, total = (found[1], found[2], found[3]) if found else ('', '', '')
        if not found or int(last) - int(first) + 1 != len(content):
            raise OSError(errno.EIO, f'{len(content)} bytes came as Content-Range {named!r}', self.url)
        after, size = int(last) + 1, None if total == '*' else int(total)
        if self.start < 0:
            if size is None or after != size or int(first) != max(size + self.start, 0):
                raise OSError(errno.EIO, f'the last {-self.start} bytes came as Content-Range {named!r}', self.url)
            self.is_done = True
            return content
        if int(first) != self.start or (self.end is not None and after > self.end):
            wanted = f'{self.start}-{"" if self.end is None else self.end - 1}'
            raise OSError(errno.EIO, f'the range {wanted} came as Content-Range {named!r}', self.url)
        self.start = after
        self.is_done = after in (self.end, size)
        self.is_begun = True
        return content


def part_of(reply: Reply, part: Part) -> bytes:
    """Return what a reply has of a part."""
    tag = reply.headers['ETag']
    if reply.status == 206:
        part.tag = tag
        return part.take(reply.content, reply.headers['Content-Range'] or '')
    if reply.status == 200:
        part.tag = tag
        return part.take_whole(reply.content)
    if reply.status == 416 and part.is_begun:
        # The server did not tell the size before.
        part.is_done = True
        return b''
    raise error_of(reply, part.url)


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
_URL = re.compile(r'https?://[^\s"\'<>]+')
