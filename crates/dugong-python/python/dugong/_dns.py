"""Connects to a host by its name, and tells a name that does not exist from a name service that is down."""

from __future__ import annotations

import sys

from ._dugong import ask_name_servers, normal_host
from ._exceptions import (
    ConnectionTimedOut,
    DNSUnavailable,
    HostnameNotResolvable,
    HostnameNotResolvableOrDNSUnavailable,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from socket import socket
    from types import ModuleType
    from typing import Any

    Address = tuple[str, int]
    AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]

# `socket` takes longer to import than all the rest of the package, so the functions do it.
# ruff: noqa: PLC0415


def create_socket(address: Address, timeout: float | None = None) -> socket:
    """Connect to *address*, a pair of host name and port, and return the blocking socket.

    All addresses of the name are tried in turn. Each attempt may take *timeout* seconds (None or 0: as long as
    `socket.getdefaulttimeout()` says); looking up the name is not bounded. If your program has replaced
    `socket.socket` or `socket.create_connection`, the replacement makes the socket.

    If no address works, the error of the last one is raised: `ConnectionTimedOut` if *timeout* has passed, else the
    error of the system. A name without address is `HostnameNotResolvable`, or `DNSUnavailable` if the name service
    cannot be reached. No socket is left open. A text that cannot be a host is a `ValueError`.
    """
    import socket

    if not _is_of(socket, socket.create_connection):
        try:
            sock: Any = _call(socket.create_connection, (normal_host(address[0]), address[1]), timeout)
        except (socket.gaierror, socket.herror) as exc:
            if not _is_ambiguous(exc):
                raise
            if _existence(normal_host(address[0])) == 'unavailable':
                raise DNSUnavailable(address[0]) from exc
            raise HostnameNotResolvable(address[0]) from exc
        try:
            sock.settimeout(socket.getdefaulttimeout())
            _send_small_requests_at_once(sock)
        except BaseException:
            sock.close()
            raise
        return sock  # type: ignore[no-any-return]

    error: OSError | ConnectionTimedOut = OSError(f'host {address[0]} has no address')
    try:
        for info in resolve(address):
            try:
                return _connect(info, timeout)
            except (OSError, ConnectionTimedOut) as exc:
                error = exc
        raise error
    finally:
        del error  # its traceback refers to this frame


def resolve(address: Address) -> list[AddressInfo]:
    """Return the answer of `socket.getaddrinfo` for stream sockets to *address*, a pair of host name and port.

    Raises `HostnameNotResolvable` or `DNSUnavailable` as `create_socket` does, and passes on other errors of the
    resolver.
    """
    host = address[0]
    # Python's own encoding of names beyond ASCII is IDNA 2003, which turns some into other names.
    address = normal_host(host), address[1]
    try:
        return _look_up(address)
    except HostnameNotResolvableOrDNSUnavailable as exc:
        cause = exc.__cause__

    existence = _existence(address[0])
    if existence == 'loopback':
        return _loopback(address[1])
    if existence == 'unavailable' or (existence == 'elsewhere' and _says_later(cause)):
        raise DNSUnavailable(host) from cause
    if existence in ('not found', 'no addresses', 'elsewhere'):
        raise HostnameNotResolvable(host) from cause

    # The name service may have come back just now.
    try:
        return _look_up(address)
    except HostnameNotResolvableOrDNSUnavailable as exc:
        if existence == 'addresses' and _says_later(exc.__cause__):
            raise DNSUnavailable(host) from exc.__cause__
        raise HostnameNotResolvable(host) from exc.__cause__


def _existence(host: str) -> str:
    """Find out why the resolver knows no address of *host*: one of the answers of `ask_name_servers`, or `'others'`.

    The configured name servers are asked for it. Without any, or if the program has assigned to
    `dugong.DNS_TEST_HOSTNAMES`, these names show whether the name service works. They also do if the program has
    replaced the resolver or the sockets of the system: such a program may have cut itself off from the network, or send
    its traffic elsewhere, and questions to name servers would bypass that.
    """
    import socket

    # Imported here, because programs may assign to it at any time.
    from . import _TEST_HOSTNAMES, DNS_TEST_HOSTNAMES  # pyright: ignore[reportPrivateUsage]  # of this package

    is_usual = DNS_TEST_HOSTNAMES is _TEST_HOSTNAMES and maker() is None and _is_of(socket, socket.getaddrinfo)
    if is_usual and (existence := ask_name_servers(host)):
        return existence
    return 'others' if any(map(_is_resolvable, DNS_TEST_HOSTNAMES)) else 'unavailable'


def _says_later(error: BaseException | None) -> bool:
    """Whether the resolver has asked us to try again later."""
    import socket

    return isinstance(error, OSError) and error.errno == socket.EAI_AGAIN


def _loopback(port: int) -> list[AddressInfo]:
    """Return the addresses of this host, as `socket.getaddrinfo` does."""
    import socket

    tcp = socket.SOCK_STREAM, socket.IPPROTO_TCP, ''
    return [(socket.AF_INET6, *tcp, ('::1', port, 0, 0)), (socket.AF_INET, *tcp, ('127.0.0.1', port))]


def _look_up(address: Address) -> list[AddressInfo]:
    """Ask the resolver once."""
    import socket

    host, port = address
    try:
        # Called as `socket.create_connection` calls it, because a replacement may not take keywords.
        return list(socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM))
    except (socket.gaierror, socket.herror) as exc:
        if _is_ambiguous(exc):
            raise HostnameNotResolvableOrDNSUnavailable(host) from exc
        raise


def _is_ambiguous(error: OSError) -> bool:
    """Whether this error of the resolver leaves open if the name exists."""
    import socket

    # Not every platform has EAI_NODATA. Many resolvers return EAI_AGAIN for names that do not exist.
    return error.errno in (socket.EAI_NONAME, getattr(socket, 'EAI_NODATA', socket.EAI_NONAME), socket.EAI_AGAIN)


def _is_resolvable(address: Address) -> bool:
    try:
        return bool(_look_up(address))
    except (OSError, HostnameNotResolvableOrDNSUnavailable):
        return False


def _connect(info: AddressInfo, timeout: float | None) -> socket:
    """Connect to one address."""
    import socket

    family, kind, protocol, _, address = info
    sock = socket.socket(family, kind, protocol)
    try:
        if timeout:
            sock.settimeout(timeout)
        sock.connect(address)
        sock.settimeout(socket.getdefaulttimeout())
        _send_small_requests_at_once(sock)
    except BaseException as exc:  # including KeyboardInterrupt
        sock.close()
        if isinstance(exc, OSError) and exc.errno and type(exc).__module__ == 'builtins':
            where = f'[{address[0]}]' if ':' in address[0] else address[0]
            exc.strerror = f'{exc.strerror} ({where}:{address[1]})'
        # A timeout of the system has an errno.
        if timeout and isinstance(exc, TimeoutError) and exc.errno is None:
            raise ConnectionTimedOut(f'could not connect within {timeout} seconds') from exc
        raise
    return sock


def maker() -> Callable[[Address, float | None], socket] | None:
    """Return the function that makes connected sockets, if the program has replaced a part of it; else None.

    A program may replace `socket.socket`, `socket.create_connection` or `dugong.create_socket` to send all traffic
    through a proxy, to test without a network, or to switch between green threads.
    """
    package: Any = sys.modules[__package__ or __name__]
    is_ours: bool = package.create_socket is create_socket
    if not is_ours:
        return _make
    socket: Any = sys.modules.get('socket')
    # A module that another thread is just importing may lack it.
    if socket is None or not hasattr(socket, 'create_connection'):
        return None
    if _is_of(socket, socket.create_connection) and _is_class_of(socket, socket.socket):
        return None
    return create_socket


def _make(address: Address, timeout: float | None) -> socket:
    from . import create_socket

    return _call(create_socket, (normal_host(address[0]), address[1]), timeout)  # type: ignore[no-any-return]


def _call(make: Callable[..., Any], address: Address, timeout: float | None) -> Any:
    """Call a function of the program with *address*, and with *timeout* if it is set and the function takes it."""
    if timeout:
        from inspect import signature

        try:
            signature(make).bind(address, timeout=timeout)
        except (TypeError, ValueError):
            return make(address)
        return make(address, timeout=timeout)
    return make(address)


def _is_of(module: ModuleType, function: object) -> bool:
    """Whether *module* itself has defined the function."""
    return getattr(function, '__globals__', None) is vars(module)


def _is_class_of(module: ModuleType, cls: Any) -> bool:
    """Whether this is the class `socket` of the module *socket*, with its own methods."""
    if not isinstance(cls, type) or [base.__module__ for base in cls.__bases__] != ['_socket']:
        return False
    inherited = all(getattr(cls, name) is getattr(cls.__bases__[0], name) for name in _TRANSFERS)
    return inherited and _is_of(module, getattr(cls, '__init__'))  # noqa: B009


# Methods that `socket.socket` inherits.
_TRANSFERS = ('__new__', 'bind', 'connect', 'connect_ex', 'recv', 'recv_into', 'recvmsg', 'send', 'sendall', 'sendmsg')


def _send_small_requests_at_once(sock: socket) -> None:
    import socket
    from contextlib import suppress

    # Some systems refuse this if the peer has gone, and the sockets of a test bed may not be TCP. The connection may
    # work nevertheless.
    with suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
