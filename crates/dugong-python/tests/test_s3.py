"""A service that this client is made for: moto's S3, with requests that botocore has signed."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from typing import Any, Self
from urllib.parse import quote, urlencode

import pytest
from interop_support import PATIENCE, Worker, s3_server

import dugong
from dugong import BodyFollowing, HTTPConnection, HTTPResponse

pytest.importorskip('moto', reason='moto is not installed: there is no S3 to talk to')
botocore_auth = pytest.importorskip('botocore.auth')
botocore_request = pytest.importorskip('botocore.awsrequest')
botocore_credentials = pytest.importorskip('botocore.credentials')

NAMESPACE = '{http://s3.amazonaws.com/doc/2006-03-01/}'


class S3:
    """One bucket, and a connection to it."""

    def __init__(self, port: int, bucket: str) -> None:
        self.conn = HTTPConnection('127.0.0.1', port)
        self.conn.timeout = PATIENCE
        self.bucket = bucket
        self.closed = 0
        credentials = botocore_credentials.Credentials('access', 'secret')
        self.auth = botocore_auth.S3SigV4Auth(credentials, 's3', 'us-east-1')

    def __enter__(self) -> Self:
        assert self.request('PUT', '')[0].status == 200
        return self

    def __exit__(self, *_: object) -> None:
        self.conn.disconnect()

    def signed(
        self, method: str, key: str, query: dict[str, str] | None = None, sha256: str | None = None, **headers: str
    ) -> tuple[str, dict[str, str]]:
        """Path and headers of a request, with the digest of its content in hexadecimal."""
        path = quote(f'/{self.bucket}/{key}' if key else f'/{self.bucket}')
        if query:
            path += '?' + urlencode(query)
        url = f'http://127.0.0.1:{self.conn.port}{path}'
        names = {name.replace('_', '-'): value for name, value in headers.items()}
        names['X-Amz-Content-SHA256'] = sha256 or hashlib.sha256().hexdigest()
        request = botocore_request.AWSRequest(method, url, names)
        self.auth.add_auth(request)
        return path, dict(request.headers.items())

    def send(self, method: str, key: str, body: bytes | None = None, **options: Any) -> str:
        sha256 = hashlib.sha256(body).hexdigest() if body is not None else None
        path, headers = self.signed(method, key, sha256=sha256, **options)
        self.conn.send_request(method, path, headers, body)
        return path

    def request(self, *args: Any, **options: Any) -> tuple[HTTPResponse, bytes]:
        self.send(*args, **options)
        response = self.conn.read_response()
        body = self.conn.readall()
        if response.headers['Connection'] == 'close':
            # waitress closes after a 304.
            self.closed += 1
            self.conn.reset()
        return response, body

    def keys(self, **query: str) -> list[str]:
        response, body = self.request('GET', '', query={'list-type': '2', **query})
        assert response.status == 200
        assert response.headers.get_content_type() in ('application/xml', 'text/xml')
        return [key.text or '' for key in ET.fromstring(body).iter(f'{NAMESPACE}Key')]


@pytest.fixture(params=['cheroot', 'waitress'], scope='module')
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    pytest.importorskip(request.param)
    with s3_server(request.param) as port:
        yield port


@pytest.fixture
def s3(port: int, request: pytest.FixtureRequest) -> Iterator[S3]:
    name = ''.join(letter if letter.isalnum() else '-' for letter in request.node.name.lower())
    with S3(port, name[-60:].strip('-')) as s3:
        yield s3


def etag(body: bytes) -> str:
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'


def test_s3_put_get_head_list_delete(s3: S3) -> None:
    body = os.urandom(100_000)
    response, answer = s3.request('PUT', 'a b/ü', body, Content_Type='text/x-test')
    assert (response.status, answer) == (200, b'')
    assert response.headers['ETag'] == etag(body)
    assert s3.keys() == ['a b/ü']

    response, answer = s3.request('GET', 'a b/ü')
    assert response.status == 200
    assert response.length == len(body)
    assert response.headers['content-type'] == 'text/x-test'
    assert answer == body

    response, answer = s3.request('HEAD', 'a b/ü')
    assert (response.status, response.length, answer) == (200, 0, b'')
    assert response.headers['Content-Length'] == str(len(body))

    response, answer = s3.request('GET', 'a b/ü', Range='bytes=10-19')
    assert response.status == 206
    assert response.headers['Content-Range'] == f'bytes 10-19/{len(body)}'
    assert answer == body[10:20]

    response, answer = s3.request('GET', 'a b/ü', If_None_Match=etag(body))
    assert (response.status, response.length, answer) == (304, 0, b'')

    response, answer = s3.request('DELETE', 'a b/ü')
    assert (response.status, answer) == (204, b'')
    assert s3.keys() == []
    response, answer = s3.request('GET', 'a b/ü')
    assert response.status == 404
    assert ET.fromstring(answer).findtext('Code') == 'NoSuchKey'


def test_s3_one_connection_serves_all(s3: S3) -> None:
    """If the server had closed the connection, this would raise `ConnectionClosed`: Dugong does not reconnect."""
    for number in range(30):
        assert s3.request('PUT', f'{number:02}', b'x' * number)[0].status == 200
    assert s3.keys(prefix='1') == [f'{number}' for number in range(10, 20)]
    for number in range(30):
        assert s3.request('HEAD', f'{number:02}')[0].headers['Content-Length'] == str(number)
    assert not s3.conn.response_pending()
    assert s3.closed == 0


def test_s3_pipelined(s3: S3) -> None:
    for number in range(20):
        s3.send('PUT', f'{number:02}', b'%d' % number * 1000)
    for _ in range(20):
        assert s3.conn.read_response().status == 200
        s3.conn.discard()
    paths = [s3.send('GET', f'{number:02}') for number in range(20)]
    for number, path in enumerate(paths):
        response = s3.conn.read_response()
        assert (response.method, response.path, response.status) == ('GET', path, 200)
        assert s3.conn.readall() == b'%d' % number * 1000
    assert not s3.conn.response_pending()


def test_s3_pipelined_by_two_threads(s3: S3) -> None:
    body = os.urandom(200_000)
    assert s3.request('PUT', 'key', body)[0].status == 200
    sent = threading.Semaphore(0)

    def send() -> None:
        for _ in range(50):
            s3.send('GET', 'key')
            sent.release()

    sender = Worker(send)
    for _ in range(50):
        assert sent.acquire(timeout=PATIENCE)
        assert s3.conn.read_response().status == 200
        assert s3.conn.readall() == body
    sender.result()


def test_8_7_s3_checks_content_md5(s3: S3) -> None:
    """Generated fields are right, and the caller's fields are sent."""
    body = b'hello' * 1000
    assert s3.request('PUT', 'a', body)[0].status == 200
    right = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    assert s3.request('PUT', 'a', body, Content_MD5=right)[0].status == 200
    wrong = base64.b64encode(hashlib.md5(b'other', usedforsecurity=False).digest()).decode()
    response, answer = s3.request('PUT', 'b', body, Content_MD5=wrong)
    # A service may check the field or not. If it does, it has to see the caller's value.
    if response.status != 200:
        assert response.status == 400
        assert ET.fromstring(answer).findtext('Code') == 'BadDigest'


def test_8_2_s3_streamed_upload(s3: S3) -> None:
    body = os.urandom(5_000_000)
    path, headers = s3.signed('PUT', 'large', sha256=hashlib.sha256(body).hexdigest())
    s3.conn.send_request('PUT', path, headers, BodyFollowing(len(body)))
    for at in range(0, len(body), 70_000):
        s3.conn.write(body[at : at + 70_000])
    response = s3.conn.read_response()
    s3.conn.discard()
    assert response.headers['ETag'] == etag(body)

    # Download it into a buffer of the caller.
    s3.send('GET', 'large')
    assert s3.conn.read_response().length == len(body)
    buf = bytearray(len(body))
    at = 0
    with memoryview(buf) as view:
        while got := s3.conn.readinto(view[at:]):
            at += got
    assert s3.conn.read(1) == b''
    assert buf == body


def test_10_2_s3_continues(s3: S3) -> None:
    body = b'hello' * 10_000
    path, headers = s3.signed('PUT', 'key', sha256=hashlib.sha256(body).hexdigest())
    s3.conn.send_request('PUT', path, headers, BodyFollowing(len(body)), expect100=True)
    assert s3.conn.read_response().status == 100
    s3.conn.write(body)
    assert s3.conn.read_response().status == 200
    s3.conn.discard()
    assert s3.request('GET', 'key')[1] == body


def test_s3_chunked_upload(s3: S3, request: pytest.FixtureRequest) -> None:
    """Statement 8.2, new. The payload is unsigned, because its digest is not known beforehand."""
    path, headers = s3.signed('PUT', 'key', sha256='UNSIGNED-PAYLOAD')
    s3.conn.send_request('PUT', path, headers, BodyFollowing())
    for part in b'hello, ', b'', b'world' * 10_000:
        s3.conn.write(part)
    s3.conn.finish()
    response = s3.conn.read_response()
    s3.conn.discard()
    if response.status == 200:
        assert s3.request('GET', 'key')[1] == b'hello, ' + b'world' * 10_000
    else:
        # Not every server passes chunked content to its application.
        assert response.status in (400, 411, 501)


def test_s3_multipart_upload(s3: S3) -> None:
    response, answer = s3.request('POST', 'key', query={'uploads': ''})
    assert response.status == 200
    upload = ET.fromstring(answer).findtext(f'{NAMESPACE}UploadId')
    assert upload
    parts = [os.urandom(5 << 20), b'the rest']
    tags = []
    for number, part in enumerate(parts, 1):
        response, _ = s3.request('PUT', 'key', part, query={'partNumber': str(number), 'uploadId': upload})
        assert response.status == 200
        tags.append(response.headers['ETag'])
    document = ''.join(
        f'<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>' for number, tag in enumerate(tags, 1)
    )
    document = f'<CompleteMultipartUpload>{document}</CompleteMultipartUpload>'
    assert s3.request('POST', 'key', document.encode(), query={'uploadId': upload})[0].status == 200
    assert s3.request('GET', 'key')[1] == b''.join(parts)


def test_s3_again_after_a_lost_connection(s3: S3) -> None:
    """Applications reset and repeat the request (23.5)."""

    def ask(work: Callable[[], tuple[HTTPResponse, bytes]]) -> tuple[HTTPResponse, bytes]:
        for _ in range(3):
            try:
                return work()
            except Exception as exc:
                if not dugong.is_temp_network_error(exc):
                    raise
                s3.conn.reset()
        raise AssertionError('three times')

    assert s3.request('PUT', 'key', b'hello')[0].status == 200
    s3.send('GET', 'key')
    s3.conn.disconnect()
    with pytest.raises(dugong.ConnectionClosed):
        s3.conn.read_response()
    assert ask(lambda: s3.request('GET', 'key'))[1] == b'hello'
