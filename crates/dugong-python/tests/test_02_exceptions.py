from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

import dugong
from dugong import ConnectionClosed, HostnameNotResolvable

WITH_MESSAGE = [
    dugong.ConnectionClosed,
    dugong.ConnectionTimedOut,
    dugong.InvalidResponse,
    dugong.UnsupportedResponse,
    dugong.StateError,
    dugong.ExcessBodyData,
]
WITH_NAME = [dugong.HostnameNotResolvable, dugong.DNSUnavailable, dugong.HostnameNotResolvableOrDNSUnavailable]
PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


class OwnConstructor(ConnectionClosed):
    def __init__(self, *, code: int) -> None:
        super().__init__(f'code {code:d}', unanswered=[('GET', '/', True)])
        self.code = code


class OwnError(dugong.Error):
    def __init__(self, one: str, two: str) -> None:
        super().__init__(one, two)
        self.one = one


class NoSuperCall(ConnectionClosed):
    def __init__(self, code: int) -> None:
        self.code = code


class OwnName(HostnameNotResolvable):
    def __init__(self, name: str, server: str) -> None:
        super().__init__(name)
        self.server = server


@pytest.mark.parametrize('cls', [*WITH_MESSAGE, *WITH_NAME])
def test_2_1_and_2_2_derived_from_exception_but_not_from_each_other(cls: type[Exception]) -> None:
    assert issubclass(cls, Exception)
    assert not issubclass(cls, OSError)
    assert [other for other in [*WITH_MESSAGE, *WITH_NAME] if issubclass(cls, other)] == [cls]


@pytest.mark.parametrize('cls', [*WITH_MESSAGE, *WITH_NAME])
def test_2_1_all_have_one_base(cls: type[Exception]) -> None:
    assert issubclass(cls, dugong.Error)
    assert dugong.Error.__bases__ == (Exception,)
    assert (dugong.Error.__module__, dugong.Error.__name__) == ('dugong', 'Error')


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_2_1_the_base_can_be_derived_from(protocol: int) -> None:
    exc = OwnError('one', 'two')
    got = pickle.loads(pickle.dumps(exc, protocol))
    assert (type(got), got.args, got.one) == (OwnError, ('one', 'two'), 'one')
    assert type(copy.copy(exc)) is OwnError


@pytest.mark.parametrize('cls', WITH_MESSAGE)
def test_2_1_message_is_optional(cls: type[Any]) -> None:
    assert str(cls('what')) == cls('what').msg == 'what'
    assert cls('what').args == ('what',)
    assert repr(cls('what')) == f"{cls.__name__}('what')"
    assert str(cls(msg='what')) == 'what'
    assert str(cls('')) == cls('').msg == ''


def test_2_1_each_class_has_its_own_default_text() -> None:
    texts: set[str] = set()
    for cls in WITH_MESSAGE:
        assert str(cls()) == str(cls(None)) == cls().msg
        texts.add(cls().msg)
    assert len(texts - {''}) == len(WITH_MESSAGE)


def test_2_1_str_follows_the_attribute() -> None:
    exc = ConnectionClosed('one')
    exc.msg = 'two'
    assert str(exc) == 'two'


@pytest.mark.parametrize('protocol', PROTOCOLS)
@pytest.mark.parametrize('cls', WITH_MESSAGE)
def test_2_1_survives_pickling(cls: type[Any], protocol: int) -> None:
    for exc in cls('what'), cls(msg='what'), cls():
        exc.extra = [1]
        exc.add_note('note')
        got = pickle.loads(pickle.dumps(exc, protocol))
        assert type(got) is cls
        assert (got.msg, got.args, got.extra, got.__notes__) == (exc.msg, exc.args, [1], ['note'])


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_2_1_subclasses_with_constructors_of_their_own_survive_pickling(protocol: int) -> None:
    for exc in OwnConstructor(code=5), NoSuperCall(5), OwnName('host', 'server'):
        got = pickle.loads(pickle.dumps(exc, protocol))
        assert type(got) is type(exc)
        assert (vars(got), str(got), got.args) == (vars(exc), str(exc), exc.args)


def test_2_1_and_2_2_can_be_copied() -> None:
    exc = OwnConstructor(code=5)
    assert vars(copy.copy(exc)) == vars(copy.deepcopy(exc)) == vars(exc)


def test_2_1_pickles_of_the_plain_form_can_be_read() -> None:
    # A class and its arguments: the default way of pickling exceptions.
    got = pickle.loads(b'cdugong\nConnectionClosed\n(Vwhat\ntR.')
    assert (type(got), got.msg, got.unanswered) == (ConnectionClosed, 'what', ())


@pytest.mark.parametrize('cls', WITH_NAME)
@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_2_2_name_is_kept_and_shown(cls: type[Any], protocol: int) -> None:
    exc = cls('host{}.example')
    for got in exc, pickle.loads(pickle.dumps(exc, protocol)), cls(name='host{}.example'):
        assert type(got) is cls
        assert got.name == 'host{}.example'
        assert 'host{}.example' in str(got)


@pytest.mark.parametrize('cls', WITH_NAME)
def test_2_2_name_is_required(cls: type[Any]) -> None:
    with pytest.raises(TypeError):
        cls()


def test_2_4_unanswered_requests() -> None:
    assert ConnectionClosed().unanswered == ()
    lost = ('GET', '/a', True), ('POST', '/b', False)
    exc = ConnectionClosed('what', unanswered=list(lost))
    assert exc.unanswered == lost
    assert exc.args == ('what',)
    assert pickle.loads(pickle.dumps(exc)).unanswered == lost
    assert ConnectionClosed(unanswered=lost).msg == ConnectionClosed().msg
