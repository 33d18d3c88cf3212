"""The values of a session: requests, content, replies and outcomes. No server is needed."""

from __future__ import annotations

import asyncio
import io
import math
import os
import pickle
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dugong._content import Source, content_of
from dugong._dugong import Outcome, Reply
from dugong._exceptions import Error
from dugong._failures import RequestFailed, RequestLost, RequestTimedOut, StatusError
from dugong._request import Request
from dugong._tls import Tls


def read(content: Any) -> bytes:
    assert isinstance(content, Source)
    return b''.join(content.open())


@pytest.mark.parametrize(
    ('params', 'target'),
    [
        ({}, '/a'),
        ({'q': 'a b&c', 'n': 3}, '/a?q=a%20b%26c&n=3'),
        ([('x', '1'), ('x', '2')], '/a?x=1&x=2'),
        ({'x': [1, 2.5], 'yes': True}, '/a?x=1&x=2.5&yes=true'),
        ({'ü': 'ß/'}, '/a?%C3%BC=%C3%9F%2F'),
    ],
)
def test_params_are_percent_encoded(params: Any, target: str) -> None:
    assert Request('GET', '/a', params=params).target == target


def test_params_are_added_to_a_query() -> None:
    assert Request('GET', '/a?b=1', params={'c': 2}).target == '/a?b=1&c=2'
    assert Request('GET', '/a?', params={'c': 2}).target == '/a?c=2'


def test_json_is_encoded_and_sets_its_type() -> None:
    request = Request('POST', '/', json={'a': ['ü', None]})
    assert request.content == '{"a":["ü",null]}'.encode()
    assert request.headers.items() == [('Content-Type', 'application/json')]
    request = Request('POST', '/', json=[], headers={'content-type': 'application/problem+json'})
    assert request.headers.items() == [('content-type', 'application/problem+json')]


@pytest.mark.parametrize(
    ('kind', 'keywords', 'message'),
    [
        (ValueError, {'method': 'G T'}, 'method'),
        (TypeError, {'method': 7}, 'method has to be a str, not int'),
        (ValueError, {'method': 'CONNECT'}, 'CONNECT'),
        (ValueError, {'target': '/a b'}, '/a b'),
        (ValueError, {'target': ''}, 'target is empty'),
        (ValueError, {'target': '/a#b', 'params': {'c': 1}}, 'fragment'),
        (TypeError, {'target': b'/'}, 'target has to be a str, not bytes'),
        (TypeError, {'params': 'a=1'}, 'params has to be a mapping or pairs, not str'),
        (ValueError, {'params': [('a',)]}, 'params has to be a mapping or an iterable of pairs'),
        (TypeError, {'params': {'a': None}}, "params: 'a' has to be"),
        (TypeError, {'params': {1: 'a'}}, 'names in params have to be str, not int'),
        (ValueError, {'headers': {'A b': 'c'}}, 'field name'),
        (ValueError, {'headers': {'A': 'b\r\nC: d'}}, 'the value of the field'),
        (TypeError, {'headers': {'A': None}}, "'A'"),
        (TypeError, {'headers': 'A: b'}, 'headers has to be a mapping or pairs, not str'),
        (TypeError, {'headers': 7}, 'headers has to be a mapping or an iterable of pairs, not 7'),
        (TypeError, {'content': 'text'}, 'content has to be bytes, not str'),
        (TypeError, {'content': io.StringIO('text')}, 'binary mode'),
        (TypeError, {'content': {'a': 1}}, 'json'),
        (TypeError, {'content': 7}, 'not int'),
        (ValueError, {'content': b'', 'json': 1}, 'content and json'),
        (ValueError, {'json': math.nan}, 'JSON'),
        (ValueError, {'content': b'12345', 'headers': {'Content-Length': '4'}}, 'the content has 5 bytes'),
        (ValueError, {'headers': {'Content-Length': '4'}}, 'the content has 0 bytes'),
        (ValueError, {'content': iter([b'']), 'headers': {'Content-Length': '+4'}}, 'one number'),
        (ValueError, {'timeout': 0}, 'timeout has to be a positive number'),
        (ValueError, {'timeout': math.nan}, 'timeout has to be a positive number'),
        (TypeError, {'total_timeout': '5'}, "total_timeout has to be a number of seconds or None, not '5'"),
        (TypeError, {'retry': 3}, 'retry has to be True, False or None, not 3'),
        (TypeError, {'expect': 'yes'}, "expect has to be True, False or None, not 'yes'"),
    ],
)
def test_wrong_arguments_are_named(kind: type[Exception], keywords: dict[str, Any], message: str) -> None:
    arguments = {'method': 'GET', 'target': '/', **keywords}
    with pytest.raises(kind) as caught:
        Request(arguments.pop('method'), arguments.pop('target'), **arguments)
    assert message in str(caught.value)
    assert type(caught.value) is kind or issubclass(type(caught.value), kind)


def test_headers_can_be_changed_and_are_checked_again() -> None:
    request = Request('GET', '/', headers=[('A', '1'), ('a', '2')])
    assert request.headers.get_all('A') == ['1', '2']
    request.headers['B'] = '3'
    assert request._current_lines() == (('A', '1'), ('a', '2'), ('B', '3'))
    request.headers['C'] = 'x\ny'
    with pytest.raises(ValueError, match='the value of the field'):
        request._current_lines()


def test_a_copy_has_headers_of_its_own() -> None:
    request = Request('PUT', '/', headers={'A': '1'}, content=b'x', timeout=3)
    copy = request.copy()
    copy.headers['B'] = '2'
    assert request.headers.items() == [('A', '1')]
    assert (copy.content, copy.timeout, copy.method) == (b'x', 3.0, 'PUT')


def test_a_request_can_be_pickled() -> None:
    request = Request('PUT', '/a', headers={'A': '1'}, content=b'x', retry=True)
    copy = pickle.loads(pickle.dumps(request))
    assert repr(copy) == '<Request PUT /a>'
    assert (copy.headers.items(), copy.content, copy.retry) == ([('A', '1')], b'x', True)


@pytest.mark.parametrize('given', [bytearray(b'abc'), memoryview(b'abc'), b'abc'])
def test_buffers_are_copied(given: Any) -> None:
    content = content_of(given)
    if isinstance(given, bytearray):
        given[0] = 0
    assert content == b'abc'


def test_a_file_is_read_from_its_position_each_time(tmp_path: Path) -> None:
    (tmp_path / 'file').write_bytes(b'0123456789')
    with (tmp_path / 'file').open('rb') as file:
        file.read(3)
        source = content_of(file)
        assert isinstance(source, Source)
        assert source.length == 7
        assert not source.is_read_once
        assert [read(source), read(source)] == [b'3456789'] * 2


def test_a_path_is_opened_for_each_attempt(tmp_path: Path) -> None:
    (tmp_path / 'file').write_bytes(b'0123456789')
    source = content_of(tmp_path / 'file')
    assert isinstance(source, Source)
    assert source.length == 10
    assert [read(source), read(source)] == [b'0123456789'] * 2
    with pytest.raises(FileNotFoundError):
        content_of(tmp_path / 'other')


def test_a_pipe_is_read_once() -> None:
    reading, writing = os.pipe()
    os.write(writing, b'abc')
    os.close(writing)
    with open(reading, 'rb') as file:
        source = content_of(file)
        assert isinstance(source, Source)
        assert source.length is None
        assert source.is_read_once
        assert read(source) == b'abc'
        with pytest.raises(ValueError, match='can only be read once'):
            source.open()


def test_an_iterator_is_read_once_and_a_list_again() -> None:
    once = content_of(iter([b'a', b'', bytearray(b'b')]))
    assert isinstance(once, Source)
    assert once.is_read_once
    assert read(once) == b'ab'
    again = content_of([b'a', b'b'])
    assert isinstance(again, Source)
    assert not again.is_read_once
    assert [read(again), read(again)] == [b'ab'] * 2


@pytest.mark.parametrize(
    'made', [lambda: b'ab', lambda: [b'a', b'b'], lambda: iter([b'ab']), lambda: io.BytesIO(b'ab')]
)
def test_a_function_is_called_for_each_attempt(made: Any) -> None:
    source = content_of(made)
    assert isinstance(source, Source)
    assert not source.is_read_once
    assert [read(source), read(source)] == [b'ab'] * 2


def test_async_iterables_are_content() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b'a'
        yield b'b'

    async def both() -> list[bytes]:
        once, again = content_of(pieces()), content_of(pieces)
        assert isinstance(once, Source)
        assert isinstance(again, Source)
        assert (once.is_async, once.is_read_once) == (True, True)
        return [b''.join([piece async for piece in source.open()]) for source in (once, again)]

    assert asyncio.run(both()) == [b'ab', b'ab']


@pytest.mark.parametrize(('length', 'message'), [(1, 'more than the 1 bytes'), (5, 'ended after 2 of 5')])
def test_an_announced_length_is_kept(length: int, message: str) -> None:
    request = Request('PUT', '/', content=iter([b'ab']), headers={'Content-Length': str(length)})
    with pytest.raises(ValueError, match=message):
        read(request.content)


def test_pieces_have_to_be_bytes() -> None:
    for piece in 'text', 7, None:
        with pytest.raises(TypeError, match='bytes'):
            read(content_of([piece]))


def reply(content: bytes = b'', **fields: str) -> Reply:
    headers = [(name.replace('_', '-'), value) for name, value in fields.items()]
    return Reply(200, 'OK', headers, content, request=Request('GET', '/x'))


def test_a_reply_shows_what_came() -> None:
    one = Reply(404, 'Not Found', [('Set-Cookie', 'a'), ('set-cookie', 'b')], b'no', attempts=2, trailers={'D': '1'})
    assert (one.status, one.reason, one.content, one.attempts) == (404, 'Not Found', b'no', 2)
    assert one.headers['SET-COOKIE'] == 'a'
    assert one.headers.get_all('Set-Cookie') == ['a', 'b']
    assert one.headers is one.headers
    assert one.trailers.items() == [('D', '1')]
    assert repr(one) == '<Reply 404 Not Found>'
    assert repr(reply()) == '<Reply 200 OK to /x>'


def test_text_has_the_charset_of_its_type() -> None:
    assert reply('ü'.encode('latin-1'), Content_Type='text/plain; charset="ISO-8859-1"').text() == 'ü'
    assert reply('ü'.encode()).text() == 'ü'
    assert reply(b'\xff').text() == '\ufffd'
    assert reply('ü'.encode('utf-16')).text('utf-16') == 'ü'
    with pytest.raises(UnicodeDecodeError):
        reply(b'\xff').text(errors='strict')


@pytest.mark.parametrize('charset', ['klingon', 'hex', 'rot13', 'idna', 'undefined', 'utf-8\0', '"', 'x' * 100_000])
def test_text_of_a_charset_that_python_does_not_know_is_taken_for_utf_8(charset: str) -> None:
    one = Reply(200, headers=None, content='ü\nä'.encode())
    one.headers['Content-Type'] = f'text/plain; charset={charset}'
    assert one.text() == 'ü\nä'
    assert list(one.iter_lines()) == ['ü', 'ä']
    assert one.text('latin-1', 'strict') == 'Ã¼\nÃ¤'


def test_an_encoding_that_python_does_not_know_is_named() -> None:
    for wrong in 'klingon', 'hex', '', 'utf-8\0':
        for use in Reply.text, Reply.iter_lines, Reply.co_iter_lines:
            with pytest.raises(ValueError, match=r'Python has no encoding .* for text; pass one'):
                use(reply(b'a'), wrong)
            with pytest.raises(ValueError, match=r'errors has to be a word of bytes\.decode'):
                use(reply(b'a'), None, 'ignorant')


def test_json_is_decoded() -> None:
    assert reply(b'{"a": 1.5}').json() == {'a': 1.5}
    assert reply('["ü"]'.encode('utf-16')).json() == ['ü']
    assert reply(b'1.5').json(parse_float=str) == '1.5'
    with pytest.raises(ValueError, match='Expecting value'):
        reply(b'<html>').json()


def test_content_is_cut_into_pieces() -> None:
    assert list(reply(b'abcde').iter_bytes(2)) == [b'ab', b'cd', b'e']
    assert list(reply(b'abcde').iter_bytes()) == [b'abcde']
    assert list(reply(b'').iter_bytes()) == []
    with pytest.raises(ValueError, match='size'):
        reply(b'').iter_bytes(0)


def test_content_is_cut_into_lines() -> None:
    assert list(reply('a\r\nü\n\nd\re'.encode()).iter_lines()) == ['a', 'ü', '', 'd', 'e']
    assert list(reply(b'a\n').iter_lines()) == ['a']
    assert list(reply(b'').iter_lines()) == []


def test_a_bad_status_is_raised() -> None:
    good = reply()
    assert good.raise_for_status() is good
    bad = Reply(503, 'Too Busy', request=Request('PUT', '/x'))
    with pytest.raises(StatusError) as caught:
        bad.raise_for_status()
    assert caught.value.reply is bad
    assert str(caught.value) == 'the answer to PUT /x is 503 Too Busy'
    assert isinstance(caught.value, Error)


def test_a_reply_is_a_context_manager() -> None:
    with reply(b'a') as one:
        assert one.content == b'a'


def test_an_outcome_has_four_words() -> None:
    outcome = Outcome(3, '/x', reply=reply(), sent='yes', answered='yes', attempts=1)
    assert (outcome.index, outcome.request, outcome.error) == (3, '/x', None)
    assert (outcome.sent, outcome.answered, outcome.safe_to_retry, outcome.attempts) == ('yes', 'yes', False, 1)
    with pytest.raises(ValueError, match='sent has to be one of'):
        Outcome(3, '/x', sent='maybe')  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ('kind', 'base'), [(RequestFailed, Error), (RequestLost, ConnectionError), (RequestTimedOut, TimeoutError)]
)
def test_a_failure_survives_pickling(kind: type[RequestFailed], base: type[Exception]) -> None:
    failure = kind(
        'lost', request=Request('GET', '/x'), sent='partly', answered='head', safe_to_retry=False, attempts=2
    )
    failure.__cause__ = ValueError('reset')
    copy = pickle.loads(pickle.dumps(failure))
    assert type(copy) is kind
    assert isinstance(copy, base)
    assert isinstance(copy, RequestFailed)
    assert str(copy) == 'lost'
    assert (copy.sent, copy.answered, copy.safe_to_retry, copy.attempts) == ('partly', 'head', False, 2)
    assert copy.request.target == '/x'
    assert repr(copy.__cause__) == "ValueError('reset')"


def test_tls_takes_paths_and_pem(tmp_path: Path) -> None:
    (tmp_path / 'ca.pem').write_bytes(b'-----BEGIN')
    for given in tmp_path / 'ca.pem', str(tmp_path / 'ca.pem'), b'-----BEGIN', '-----BEGIN':
        assert Tls(ca=given)._ca == b'-----BEGIN'
    assert repr(Tls()) == '<dugong.Tls trusting the platform>'
    with pytest.raises(ValueError, match='key needs cert'):
        Tls(key=b'-----BEGIN')
    with pytest.raises(TypeError, match='ca has to be the path'):
        Tls(ca=7)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        Tls(ca=tmp_path / 'other.pem')
