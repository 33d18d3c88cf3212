from __future__ import annotations

import copy
import http
import importlib
import inspect
import pickle
import select
import subprocess
import sys
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

import dugong

NAMES = {
    'HTTPResponse BodyFollowing CaseInsensitiveDict PollNeeded AioFuture is_temp_network_error MAX_LINE_SIZE',
    'MAX_HEADER_SIZE DNS_TEST_HOSTNAMES ConnectionClosed ConnectionTimedOut InvalidResponse UnsupportedResponse',
    'StateError ExcessBodyData HostnameNotResolvable DNSUnavailable HostnameNotResolvableOrDNSUnavailable',
    'HTTPConnection BUFFER_SIZE POLLIN POLLOUT eval_coroutine create_socket log __version__',
    'Pipeline AsyncPipeline Error RequestOutcome',  # new
    'Session Sessions Request Reply Outcome Run AsyncRun RequestFailed StatusError Tls RemoteFile RangeError',  # new
}

#: Names from the standard library in the dir() of 3.8.2.
INHERITED = {
    'HTTP_PORT HTTPS_PORT NO_CONTENT NOT_MODIFIED Enum Mapping MutableMapping b64encode deque getdoc asyncio email',
    'errno hashlib logging os select socket ssl sys textwrap',
}


def python(code: str) -> str:
    done = subprocess.run([sys.executable, '-W', 'error', '-c', code], capture_output=True, text=True, check=False)
    assert done.stderr == ''
    return done.stdout


@pytest.fixture(autouse=True)
def path_for_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('PYTHONPATH', str(dugong.__path__[0]).removesuffix('dugong'))


def test_1_1_and_1_2_all_names_are_there() -> None:
    names = set(' '.join(NAMES).split())
    for name in names:
        assert getattr(dugong, name) is not None
    names |= set(' '.join(INHERITED).split())
    assert names == set(dugong.__all__)
    assert set(python('import dugong; print(*dir(dugong))').split()) >= names


def test_1_1_star_import_gives_all_names() -> None:
    space: dict[str, Any] = {}
    exec('from dugong import *', space)
    assert set(dugong.__all__) <= set(space)


def test_1_1_other_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match='no_such_name'):
        dugong.no_such_name  # type: ignore[attr-defined]  # noqa: B018


def test_1_2_values() -> None:
    assert dugong.BUFFER_SIZE == 65536
    assert (dugong.POLLIN, dugong.POLLOUT) == (select.POLLIN, select.POLLOUT)
    assert isinstance(dugong.__version__, str)
    assert (3, 4) <= tuple(map(int, dugong.__version__.split('.')[:2])) < (4, 0)


def test_1_2_modules_of_the_standard_library_are_found_in_the_package() -> None:
    modules = 'asyncio email errno hashlib logging os select socket ssl sys textwrap'.split()
    for name in modules:
        assert getattr(dugong, name) is importlib.import_module(name)
    # In a process where nothing has imported them before, and by the ways that programs import names.
    assert python('import dugong; print(dugong.ssl.SSLContext, dugong.HTTPS_PORT, dugong.HTTP_PORT)') == (
        "<class 'ssl.SSLContext'> 443 80\n"
    )


def test_1_2_constants_of_the_standard_library_are_found_in_the_package() -> None:
    assert (dugong.HTTP_PORT, dugong.HTTPS_PORT) == (80, 443)
    assert (dugong.NO_CONTENT, dugong.NOT_MODIFIED) == (http.HTTPStatus.NO_CONTENT, http.HTTPStatus.NOT_MODIFIED)
    assert dugong.Mapping is Mapping


def test_1_2_a_star_import_gives_the_same_names() -> None:
    space: dict[str, Any] = {}
    exec('from dugong import *', space)
    assert set(' '.join(INHERITED).split()) <= set(space)
    assert space['ssl'].SSLContext
    # Internal names of 3.8.2.
    assert not {'annotations', 'TYPE_CHECKING'} & set(space)


def test_1_3_limits() -> None:
    assert dugong.MAX_LINE_SIZE == dugong.MAX_HEADER_SIZE == 65535


def test_1_4_names_to_test_the_name_service_with() -> None:
    assert isinstance(dugong.DNS_TEST_HOSTNAMES, Sequence)
    assert list(dugong.DNS_TEST_HOSTNAMES) == [('www.google.com', 80), ('www.iana.org', 80), ('C.root-servers.org', 53)]


def test_1_5_classes_can_be_subclassed_and_instances_take_attributes_and_weak_references() -> None:
    class Response(dugong.HTTPResponse):
        pass

    class Headers(dugong.CaseInsensitiveDict):
        pass

    class Closed(dugong.ConnectionClosed):
        pass

    class NoName(dugong.HostnameNotResolvable):
        pass

    headers: Any = None
    instances: list[Any] = [Response('GET', '/', 200, 'OK', headers), Headers(), Closed(), NoName('x')]
    for instance in instances:
        instance.extra = 1
        assert instance.extra == 1
        assert weakref.ref(instance)() is instance


def test_1_6_everything_public_has_a_docstring() -> None:
    for name in set(' '.join(NAMES).split()):
        thing = getattr(dugong, name)
        if not inspect.isclass(thing) and not inspect.isfunction(thing):
            continue
        assert thing.__doc__, name
        for attribute, member in vars(thing).items() if inspect.isclass(thing) else ():
            if not attribute.startswith('_') and (callable(member) or isinstance(member, property)):
                assert inspect.getdoc(getattr(thing, attribute)), (name, attribute)


def test_public_names_say_that_they_are_of_the_package() -> None:
    for name in set(' '.join(NAMES).split()):
        thing = getattr(dugong, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            assert thing.__module__ == 'dugong', name
            assert pickle.loads(pickle.dumps(thing)) is thing
            assert copy.copy(thing) is thing


@pytest.mark.parametrize('module', ['asyncio', 'email', 'logging', 'socket', 'ssl', 'typing', 'trio'])
def test_slow_modules_are_not_imported_until_they_are_needed(module: str) -> None:
    # Compared with a bare interpreter, because the `site` module has imports of its own.
    assert python(f'import sys; m = {module!r} in sys.modules; import dugong; print(m, {module!r} in sys.modules)') in (
        'False False\n',
        'True True\n',
    )


def test_21_1_the_logger_is_that_of_the_name_dugong() -> None:
    assert python('import dugong, logging; print(dugong.log is logging.getLogger("dugong"))') == 'True\n'


def test_21_1_warnings_do_not_go_to_stderr() -> None:
    assert python('import dugong; dugong.log.warning("without a handler")') == ''


def test_21_1_warnings_reach_the_handlers_of_the_program(caplog: pytest.LogCaptureFixture) -> None:
    dugong.log.warning('to a handler')
    assert caplog.record_tuples == [('dugong', 30, 'to a handler')]
