"""Fetch the objects of a bucket of S3, with many requests in flight while the list still grows.

Each attempt is signed anew (AWS Signature Version 4), so that its date is right even after a wait. The credentials are
in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.

    $ python s3.py http://localhost:9000 letters
    a/1: 6 bytes
    a/2: 0 bytes
    b c/ü: 100000 bytes
"""

import hashlib
import hmac
import os
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import quote, unquote

import dugong

S3 = '{http://s3.amazonaws.com/doc/2006-03-01/}'


class Signer:
    """Signs requests to S3. Their content has to be bytes."""

    def __init__(self, key: str, secret: str, region: str = 'us-east-1') -> None:
        self.key, self.secret, self.region = key, secret, region

    def __call__(self, request: dugong.Request) -> None:
        now = datetime.now(UTC)
        content = request.content if isinstance(request.content, bytes) else b''
        request.headers['X-Amz-Date'] = f'{now:%Y%m%dT%H%M%SZ}'
        request.headers['X-Amz-Content-SHA256'] = hashlib.sha256(content).hexdigest()
        names = sorted(['host', 'x-amz-content-sha256', 'x-amz-date'])
        path, _, query = request.target.partition('?')
        lines = [request.method, path, '&'.join(sorted(query.split('&')))]
        lines += [f'{name}:{request.headers[name]}' for name in names]
        lines += ['', ';'.join(names), request.headers['X-Amz-Content-SHA256']]
        digest = hashlib.sha256('\n'.join(lines).encode()).hexdigest()
        scope = [f'{now:%Y%m%d}', self.region, 's3', 'aws4_request']
        text = f'AWS4-HMAC-SHA256\n{request.headers["X-Amz-Date"]}\n{"/".join(scope)}\n{digest}'
        key = f'AWS4{self.secret}'.encode()
        for part in [*scope, text]:
            key = hmac.digest(key, part.encode(), 'sha256')
        credential, signed = '/'.join([self.key, *scope]), ';'.join(names)
        fields = f'Credential={credential}, SignedHeaders={signed}, Signature={key.hex()}'
        request.headers['Authorization'] = f'AWS4-HMAC-SHA256 {fields}'


def list_keys(session: dugong.Session, bucket: str) -> Iterator[str]:
    """Yield the keys of a bucket; a page of the list is fetched when it is needed."""
    params = {'list-type': '2'}
    while True:
        reply = session.get(f'/{bucket}', params=params)
        reply.raise_for_status()
        page = ET.fromstring(reply.content)
        yield from (item.text or '' for item in page.iterfind(f'{S3}Contents/{S3}Key'))
        token = page.findtext(f'{S3}NextContinuationToken')
        if token is None:
            return
        params['continuation-token'] = token


def main(origin: str, bucket: str) -> None:
    signer = Signer(os.environ['AWS_ACCESS_KEY_ID'], os.environ['AWS_SECRET_ACCESS_KEY'])
    with dugong.Session(origin, sign=signer) as session:
        targets = (f'/{bucket}/{quote(key)}' for key in list_keys(session, bucket))
        for outcome in session.run(targets):
            key = unquote(outcome.request).removeprefix(f'/{bucket}/')
            if outcome.reply is None:
                print(f'{key}: {outcome.error}')
            elif outcome.reply.status != 200:
                print(f'{key}: {outcome.reply.status} {outcome.reply.reason}')
            else:
                print(f'{key}: {len(outcome.reply.content)} bytes')


if __name__ == '__main__':
    main(*sys.argv[1:])
