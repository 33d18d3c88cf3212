"""Sessions and moto's S3: many objects each way, with signed requests and compared digests.

Threads have 500 objects, or as many as `DUGONG_S3_OBJECTS` says, which is 5,000 in `make chaos`; tasks have 100.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator
from typing import Any

import pytest
from interop_support import s3_server
from loops import Loop, each_loop
from session_support import reply_of

from dugong import Request, Session

pytest.importorskip('moto', reason='moto is not installed: there is no S3 to talk to')
botocore_auth = pytest.importorskip('botocore.auth')
botocore_request = pytest.importorskip('botocore.awsrequest')
botocore_credentials = pytest.importorskip('botocore.credentials')

OBJECTS = int(os.environ.get('DUGONG_S3_OBJECTS', '500'))
OBJECTS_OF_TASKS = 100


def content_of(number: int) -> bytes:
    """Unique content of an object: up to 20,000 bytes."""
    random_bytes = random.Random(number).randbytes(number * 7919 % 20_000)
    return f'{number} '.encode() + random_bytes


class Signer:
    """Signs each attempt as S3 wants it (SigV4)."""

    def __init__(self) -> None:
        credentials = botocore_credentials.Credentials('access', 'secret')
        self._auth: Any = botocore_auth.S3SigV4Auth(credentials, 's3', 'us-east-1')

    def __call__(self, request: Request) -> dict[str, str]:
        content = request.content or b''
        assert isinstance(content, bytes)
        names = {'X-Amz-Content-SHA256': hashlib.sha256(content).hexdigest()}
        aws = botocore_request.AWSRequest(request.method, f'{request.origin}{request.target}', headers=names)
        self._auth.add_auth(aws)
        return dict(aws.headers.items())


@pytest.fixture(params=['cheroot', 'waitress'])
def bucket(request: pytest.FixtureRequest) -> Iterator[Session]:
    pytest.importorskip(request.param)
    with s3_server(request.param) as port, Session(f'http://127.0.0.1:{port}', sign=Signer()) as session:
        assert session.put('/bucket').status == 200
        yield session


def puts(count: int) -> Iterator[Request]:
    for number in range(count):
        yield Request('PUT', f'/bucket/{number}', content=content_of(number))


def gets(count: int) -> Iterator[Request]:
    for number in range(count):
        digest = hashlib.sha256(content_of(number)).hexdigest()
        yield Request('GET', f'/bucket/{number}', digest=f'sha256={digest}')


def check_put(number: int, outcome: Any) -> None:
    assert (outcome.index, reply_of(outcome).status) == (number, 200), outcome
    md5 = hashlib.md5(content_of(number), usedforsecurity=False).hexdigest()
    assert reply_of(outcome).headers['ETag'] == f'"{md5}"'


def check_get(number: int, outcome: Any) -> None:
    assert (outcome.index, reply_of(outcome).status) == (number, 200), outcome
    assert reply_of(outcome).content == content_of(number)


def test_objects_go_there_and_back(bucket: Session) -> None:
    count = 0
    for count, outcome in enumerate(bucket.run(puts(OBJECTS)), 1):
        check_put(count - 1, outcome)
    assert count == OBJECTS
    for count, outcome in enumerate(bucket.run(gets(OBJECTS)), 1):
        check_get(count - 1, outcome)
    assert count == OBJECTS
    assert bucket.stats()['jobs'] == 0


@pytest.mark.parametrize('bucket', ['cheroot'], indirect=True)
@each_loop
def test_objects_go_there_and_back_in_tasks(bucket: Session, loop: Loop) -> None:
    async def main() -> None:
        count = 0
        async for outcome in bucket.co_run(puts(OBJECTS_OF_TASKS)):
            check_put(count, outcome)
            count += 1
        assert count == OBJECTS_OF_TASKS
        count = 0
        async for outcome in bucket.co_run(gets(OBJECTS_OF_TASKS)):
            check_get(count, outcome)
            count += 1
        assert count == OBJECTS_OF_TASKS

    loop.run(main)
