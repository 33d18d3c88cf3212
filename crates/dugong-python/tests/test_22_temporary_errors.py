from __future__ import annotations

import errno
import os
import socket
import ssl
import subprocess
import sys

import pytest

import dugong
from dugong import is_temp_network_error

ERRNOS = (
    'EHOSTDOWN EHOSTUNREACH ENETDOWN ENETRESET ENETUNREACH ENOLINK ENONET ENOTCONN ENXIO EPIPE EREMCHG '
    'ESHUTDOWN ETIMEDOUT EAGAIN'
).split()


class Sub(dugong.ConnectionClosed):
    pass


class SubEOF(ssl.SSLEOFError):
    pass


@pytest.mark.parametrize(
    'exc',
    [
        dugong.ConnectionClosed(),
        Sub(),
        dugong.ConnectionTimedOut(),
        dugong.DNSUnavailable('x'),
        TimeoutError(),
        ConnectionError(),
        ConnectionResetError(),
        ConnectionRefusedError(),
        BrokenPipeError(),
        InterruptedError(),
        ssl.SSLZeroReturnError(),
        ssl.SSLEOFError(),
        SubEOF(8, 'x'),
        ssl.SSLSyscallError(),
    ],
)
def test_22_1_true(exc: BaseException) -> None:
    assert is_temp_network_error(exc) is True


@pytest.mark.parametrize('name', [name for name in ERRNOS if hasattr(errno, name)])
def test_22_2_true_for_errno(name: str) -> None:
    code = getattr(errno, name)
    assert is_temp_network_error(OSError(code, os.strerror(code))) is True


def test_22_2_timeouts_of_the_socket_module() -> None:
    assert is_temp_network_error(socket.timeout()) is True  # noqa: UP041


@pytest.mark.parametrize(
    'exc',
    [
        dugong.HostnameNotResolvable('x'),
        dugong.HostnameNotResolvableOrDNSUnavailable('x'),
        dugong.StateError(),
        dugong.ExcessBodyData(),
        dugong.InvalidResponse(),
        dugong.UnsupportedResponse(),
        socket.gaierror(socket.EAI_AGAIN, 'x'),
        socket.gaierror(errno.EAGAIN, 'x'),  # error numbers of the resolver are not those of the system
        socket.herror(errno.ENXIO, 'x'),
        ssl.SSLError(),
        ssl.SSLError(errno.ENXIO, 'x'),
        ssl.SSLCertVerificationError(1, 'x'),
        ssl.SSLWantReadError(errno.EAGAIN, 'x'),
        FileNotFoundError(errno.ENOENT, 'x'),
        OSError(),
        OSError('x'),
        OSError([], 'x'),
        ValueError(),
        KeyboardInterrupt(),
    ],
)
def test_22_3_false(exc: BaseException) -> None:
    assert is_temp_network_error(exc) is False


def test_22_does_not_import_ssl_or_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('PYTHONPATH', str(dugong.__path__[0]).removesuffix('dugong'))
    code = """if True:
        import sys
        for name in 'ssl', 'socket':
            sys.modules.pop(name, None)
        import dugong, errno
        print(dugong.is_temp_network_error(OSError(errno.EPIPE, 'x')), dugong.is_temp_network_error(ValueError()))
        print('ssl' in sys.modules, 'socket' in sys.modules)
    """
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout == 'True False\nFalse False\n'
