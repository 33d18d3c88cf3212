"""Print a document, decoded with the charset that the server names.

Without a charset it assumes UTF-8. The URL may have characters that a request must quote.

    $ python print_url.py http://localhost:8000/poem.txt
    200 OK, text/plain, iso-8859-1, 42 bytes
    Weiß ist der Schnee,
    schwarz ist der See.
"""

import ssl
import sys
from urllib.parse import quote, urlsplit

from dugong import HTTPConnection


def main(url: str) -> None:
    parts = urlsplit(url)
    context = ssl.create_default_context() if parts.scheme == 'https' else None
    with HTTPConnection(parts.hostname or '', parts.port, context) as conn:
        path = (parts.path or '/') + (parts.query and f'?{parts.query}')
        conn.send_request('GET', quote(path, safe="/?%:@!$&'()*+,;=~"))
        resp = conn.read_response()
        body = conn.readall()

    # `headers` is an `email.message.Message`, which parses this header.
    charset = resp.headers.get_content_charset('utf-8')
    print(f'{resp.status} {resp.reason}, {resp.headers.get_content_type()}, {charset}, {len(body)} bytes')
    print(body.decode(charset, 'replace'), end='')


if __name__ == '__main__':
    main(*sys.argv[1:])
