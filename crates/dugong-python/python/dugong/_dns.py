"""From host name to connected socket, and why that failed: no such name, or no name service."""

from __future__ import annotations

from ._exceptions import (
    ConnectionTimedOut,
    DNSUnavailable,
    HostnameNotResolvable,
    HostnameNotResolvableOrDNSUnavailable,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from socket import socket
    from typing import Any

    Address = tuple[str, int]
    AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]

# `socket` takes longer to import than all the rest of the package, so the functions do it.
# ruff: noqa: PLC0415


def create_socket(address: Address, timeout: float | None = None) -> socket:
    """Connect to *address*, a pair of host name and port, and return the blocking socket.

    All addresses of the name are tried in turn. Each attempt may take *timeout* seconds (None or 0: as long as
    `socket.getdefaulttimeout()` says); looking up the name is not bounded.

    If no address works, the error of the last one is raised: `ConnectionTimedOut` if *timeout* has passed, else what
    the system reported. A name without address is `HostnameNotResolvable`, or `DNSUnavailable` if none of
    `dugong.DNS_TEST_HOSTNAMES` can be resolved either. No socket is left open.
    """
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
    """Return what `socket.getaddrinfo` knows for stream sockets to *address*, a pair of host name and port.

    Raises `HostnameNotResolvable` or `DNSUnavailable` as said for `create_socket`; other errors of the resolver are
    passed on.
    """
    host = address[0]
    try:
        return _look_up(address)
    except HostnameNotResolvableOrDNSUnavailable as exc:
        cause = exc.__cause__

    # Now, not when this module is imported: programs may assign to it at any time.
    from . import DNS_TEST_HOSTNAMES

    if not any(map(_is_resolvable, DNS_TEST_HOSTNAMES)):
        raise DNSUnavailable(host) from cause

    # The name service may have come back only just now.
    try:
        return _look_up(address)
    except HostnameNotResolvableOrDNSUnavailable as exc:
        raise HostnameNotResolvable(host) from exc.__cause__


def _look_up(address: Address) -> list[AddressInfo]:
    """Ask the resolver once."""
    import socket

    host, port = address
    try:
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except (socket.gaierror, socket.herror) as exc:
        # Not every platform has EAI_NODATA. EAI_AGAIN is what many resolvers say of names that do not exist.
        if exc.errno in (socket.EAI_NONAME, getattr(socket, 'EAI_NODATA', socket.EAI_NONAME), socket.EAI_AGAIN):
            raise HostnameNotResolvableOrDNSUnavailable(host) from exc
        raise


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
    except BaseException as exc:  # KeyboardInterrupt, too
        sock.close()
        # If it is the system that gives up, there is an errno.
        if timeout and isinstance(exc, TimeoutError) and exc.errno is None:
            raise ConnectionTimedOut(f'could not connect within {timeout} seconds') from exc
        raise
    return sock


def _send_small_requests_at_once(sock: socket) -> None:
    import socket
    from contextlib import suppress

    # Some systems refuse it if the peer is gone already; and there are test beds whose sockets are not TCP. The
    # connection may be good for something nevertheless.
    with suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
