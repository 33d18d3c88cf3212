"""An HTTP/1.1 client that pipelines requests, and lets you do the waiting if you like.

`HTTPConnection` is one connection to one server:

    with HTTPConnection('www.python.org', ssl_context=ssl.create_default_context()) as conn:
        conn.send_request('GET', '/')
        resp = conn.read_response()
        body = conn.readall()
"""

from __future__ import annotations

# First, because the other modules need the extension.
from . import _main_only  # noqa: F401  # pyright: ignore[reportPrivateUsage, reportUnusedImport]
from ._body import BodyFollowing
from ._dns import create_socket
from ._dugong import AsyncPipeline, HTTPConnection, HTTPResponse, Outcome, Pipeline, Reply, Run
from ._exceptions import (
    ConnectionClosed,
    ConnectionTimedOut,
    DNSUnavailable,
    Error,
    ExcessBodyData,
    HostnameNotResolvable,
    HostnameNotResolvableOrDNSUnavailable,
    InvalidResponse,
    RequestOutcome,
    StateError,
    UnsupportedResponse,
    is_temp_network_error,
)
from ._failures import RangeError, RequestFailed, StatusError
from ._headers import CaseInsensitiveDict
from ._polling import POLLIN, POLLOUT, PollNeeded, eval_coroutine

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    import email
    import errno
    import hashlib
    import logging
    import os
    import select
    import socket
    import ssl
    import sys
    import textwrap
    from base64 import b64encode
    from collections import deque
    from collections.abc import Mapping, MutableMapping, Sequence
    from enum import Enum
    from http.client import HTTP_PORT, HTTPS_PORT, NO_CONTENT, NOT_MODIFIED
    from inspect import getdoc
    from logging import Logger

    from ._async_run import AsyncRun
    from ._asyncio import AioFuture
    from ._ranges import RemoteFile
    from ._request import Request
    from ._session import Session
    from ._sessions import Sessions
    from ._tls import Tls

    log: Logger

__all__ = [
    'BUFFER_SIZE',
    'DNS_TEST_HOSTNAMES',
    'MAX_HEADER_SIZE',
    'MAX_LINE_SIZE',
    'POLLIN',
    'POLLOUT',
    'AioFuture',
    'AsyncPipeline',
    'AsyncRun',
    'BodyFollowing',
    'CaseInsensitiveDict',
    'ConnectionClosed',
    'ConnectionTimedOut',
    'DNSUnavailable',
    'Error',
    'ExcessBodyData',
    'HTTPConnection',
    'HTTPResponse',
    'HostnameNotResolvable',
    'HostnameNotResolvableOrDNSUnavailable',
    'InvalidResponse',
    'Outcome',
    'Pipeline',
    'PollNeeded',
    'RangeError',
    'RemoteFile',
    'Reply',
    'Request',
    'RequestFailed',
    'RequestOutcome',
    'Run',
    'Session',
    'Sessions',
    'StateError',
    'StatusError',
    'Tls',
    'UnsupportedResponse',
    '__version__',
    'create_socket',
    'eval_coroutine',
    'is_temp_network_error',
    'log',
]

# Names of the standard library that the module dugong 3.8.2 had imported, so that programs found them in it. Names that
# are not modules come with their module.
_INHERITED = {
    'HTTPS_PORT': 'http.client',
    'HTTP_PORT': 'http.client',
    'NOT_MODIFIED': 'http.client',
    'NO_CONTENT': 'http.client',
    'Enum': 'enum',
    'Mapping': 'collections.abc',
    'MutableMapping': 'collections.abc',
    'b64encode': 'base64',
    'deque': 'collections',
    'getdoc': 'inspect',
    'asyncio': None,
    'email': None,
    'errno': None,
    'hashlib': None,
    'logging': None,
    'os': None,
    'select': None,
    'socket': None,
    'ssl': None,
    'sys': None,
    'textwrap': None,
}

# `from dugong import *` gave them, too.
__all__ += [
    'HTTPS_PORT',
    'HTTP_PORT',
    'NOT_MODIFIED',
    'NO_CONTENT',
    'Enum',
    'Mapping',
    'MutableMapping',
    'asyncio',
    'b64encode',
    'deque',
    'email',
    'errno',
    'getdoc',
    'hashlib',
    'logging',
    'os',
    'select',
    'socket',
    'ssl',
    'sys',
    'textwrap',
]

__version__ = '3.9.0'

#: Bytes asked for at once, when the caller does not say how many.
BUFFER_SIZE = 65536

#: Longest status line that is accepted, in bytes.
MAX_LINE_SIZE = 65535

#: Longest header section that is accepted, in bytes.
MAX_HEADER_SIZE = 65535

#: Pairs of host and port. When a host has no address, these names are looked up to find out if the name service works.
#: You may assign to this at any time. If you do not, they are only used where no name server is configured. Otherwise
#: the configured name servers are asked about the host itself.
DNS_TEST_HOSTNAMES: Sequence[tuple[str, int]] = (
    ('www.google.com', 80),
    ('www.iana.org', 80),
    ('C.root-servers.org', 53),
)

# Names that take long to import, by their modules.
_LATER = {
    'AioFuture': '_asyncio',
    'AsyncRun': '_async_run',
    'RemoteFile': '_ranges',
    'Request': '_request',
    'Session': '_session',
    'Sessions': '_sessions',
    'Tls': '_tls',
}

# If the two differ, the program has assigned to it.
_TEST_HOSTNAMES = DNS_TEST_HOSTNAMES

# Messages and pickles show one module, and not our files.
for _public in (
    BodyFollowing,
    CaseInsensitiveDict,
    ConnectionClosed,
    ConnectionTimedOut,
    DNSUnavailable,
    Error,
    ExcessBodyData,
    HostnameNotResolvable,
    HostnameNotResolvableOrDNSUnavailable,
    InvalidResponse,
    PollNeeded,
    RangeError,
    RequestFailed,
    RequestOutcome,
    StateError,
    StatusError,
    UnsupportedResponse,
    create_socket,
    eval_coroutine,
    is_temp_network_error,
):
    _public.__module__ = __name__
del _public


if not TYPE_CHECKING:
    # asyncio and logging take longer to import than all the rest, and many programs need neither.
    # ruff: noqa: PLC0415

    def __getattr__(name):
        if name in _LATER:
            import importlib

            value = getattr(importlib.import_module(f'dugong.{_LATER[name]}'), name)
            value.__module__ = __name__
        elif name == 'log':
            import logging

            value = logging.getLogger('dugong')
            # Without any handler, logging would print our warnings to stderr.
            value.addHandler(logging.NullHandler())
        elif name in _INHERITED:
            import importlib

            home = _INHERITED[name]
            value = getattr(importlib.import_module(home), name) if home else importlib.import_module(name)
        else:
            raise AttributeError(f'module {__name__!r} has no attribute {name!r}', name=name)
        globals()[name] = value
        return value

    def __dir__():
        return sorted({*globals(), *__all__})
