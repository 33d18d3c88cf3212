"""Print the links of a page while you receive it.

The connection serves as the binary file of a text file, so a page of any size takes little memory.

    $ python extract_links.py http://localhost:8000/start.html
    http://localhost:8000/poem.txt
    http://localhost:8000/news?page=2
    https://www.example.org/straße
"""

import io
import ssl
import sys
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

from dugong import HTTPConnection


class LinkPrinter(HTMLParser):
    """Prints the targets of the <a> elements of a page."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self.base = base

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        target = dict(attrs).get('href')
        if tag == 'a' and target is not None:
            print(urljoin(self.base, target))


def main(url: str) -> None:
    parts = urlsplit(url)
    context = ssl.create_default_context() if parts.scheme == 'https' else None
    with HTTPConnection(parts.hostname or '', parts.port, context) as conn:
        conn.send_request('GET', (parts.path or '/') + (parts.query and f'?{parts.query}'))
        resp = conn.read_response()
        if resp.status != 200:
            sys.exit(f'{url}: {resp.status} {resp.reason}')

        text = io.TextIOWrapper(conn, encoding=resp.headers.get_content_charset('utf-8'), errors='replace')
        parser = LinkPrinter(url)
        while piece := text.read(8192):
            parser.feed(piece)
        parser.close()


if __name__ == '__main__':
    main(*sys.argv[1:])
