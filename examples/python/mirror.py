"""Mirror a directory tree that its server lists as HTML, as nginx (autoindex) and `python -m http.server` do.

A second run fetches only what has changed since (If-Modified-Since). A file has another name until its last byte has
come.

    $ python mirror.py http://localhost:9000/tree/ copy
    new: a.txt
    new: folder/large.bin
    new: folder/deep/ü b.txt
    3 files, 3 of them new
    $ python mirror.py http://localhost:9000/tree/ copy
    3 files, 0 of them new
"""

import html.parser
import os
import sys
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import dugong


class Links(html.parser.HTMLParser):
    """Collects the links of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if tag == 'a' and name == 'href' and value]


def entries(folder: str, page: str) -> list[str]:
    """Return the paths of the files and folders in *folder*; other links lead out of it."""
    found = []
    for link in Links(page).found:
        path = urlsplit(urljoin(f'http://x{folder}', link)).path
        name = unquote(path.removeprefix(folder).removesuffix('/'))
        if path.startswith(folder) and name not in ('', '.', '..') and '/' not in name and '\0' not in name:
            found.append(path)
    return found


def walk(session: dugong.Session, top: str) -> list[str]:
    """Return the paths of all files below *top*. The folders of one level are listed together."""
    files: list[str] = []
    folders = [top]
    while folders:
        found: list[str] = []
        for outcome in session.run(folders):
            if outcome.reply is None:
                raise SystemExit(f'{outcome.request}: {outcome.error}')
            outcome.reply.raise_for_status()
            found += entries(outcome.request, outcome.reply.text())
        files += [path for path in found if not path.endswith('/')]
        folders = [path for path in found if path.endswith('/')]
    return files


def fetch(path: str, file: Path) -> dugong.Request:
    """Make the request for a file, of which an older version may be there."""
    headers = {'If-Modified-Since': formatdate(file.stat().st_mtime, usegmt=True)} if file.exists() else {}
    return dugong.Request('GET', path, headers=headers)


def store(reply: dugong.Reply, file: Path) -> None:
    """Write the content of a reply to a file, with the time of its last change."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f'.{file.name}.part')
    with part.open('wb') as out:
        for piece in reply.iter_bytes():
            out.write(piece)
    if changed := reply.headers['Last-Modified']:
        time = parsedate_to_datetime(changed).timestamp()
        os.utime(part, (time, time))
    part.rename(file)


def main(url: str, folder: str) -> None:
    parts = urlsplit(url)
    with dugong.Session(f'{parts.scheme}://{parts.netloc}') as session:
        paths = walk(session, parts.path)
        names = [unquote(path.removeprefix(parts.path)) for path in paths]
        new = 0
        requests = (fetch(path, Path(folder, name)) for path, name in zip(paths, names, strict=True))
        for outcome in session.run(requests, stream=True):
            name = names[outcome.index]
            if outcome.reply is None:
                print(f'{name}: {outcome.error}')
                continue
            with outcome.reply as reply:
                if reply.status == 200:
                    store(reply, Path(folder, name))
                    print(f'new: {name}')
                    new += 1
                elif reply.status != 304:
                    print(f'{name}: {reply.status} {reply.reason}')
        print(f'{len(names)} files, {new} of them new')


if __name__ == '__main__':
    main(*sys.argv[1:])
