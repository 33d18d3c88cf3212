"""A plugin of pytest for tools/host-suites: replaces the transport of a host, counts its calls, and writes the outcomes down."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

_calls = 0
_outcomes: dict[str, str] = {}


def pytest_configure() -> None:
    """Replace the transport, before the tests import the host."""
    host = os.environ['HOST_SUITES_HOST']
    if host:
        {'httpx': _replace_httpx, 'requests': _replace_requests}[host]()


def pytest_runtest_logreport(report: Any) -> None:
    """Note how a test ended: with the worst of its phases."""
    if report.when == 'call' or report.outcome != 'passed':
        _outcomes[report.nodeid] = report.outcome


def pytest_sessionfinish() -> None:
    """Write the outcomes."""
    Path(os.environ['HOST_SUITES_REPORT']).write_text(json.dumps({'outcomes': _outcomes, 'calls': _calls}))


def _count() -> None:
    global _calls
    _calls += 1


def _replace_httpx() -> None:
    import httpx._client

    import dugong.httpx

    class Transport(dugong.httpx.Transport):
        def __init__(self, *, http1: bool = True, http2: bool = False, limits: Any = None, **options: Any) -> None:
            super().__init__(**options)

        def handle_request(self, request: Any) -> Any:
            _count()
            return super().handle_request(request)

    class AsyncTransport(dugong.httpx.AsyncTransport):
        def __init__(self, *, http1: bool = True, http2: bool = False, limits: Any = None, **options: Any) -> None:
            super().__init__(**options)

        async def handle_async_request(self, request: Any) -> Any:
            _count()
            return await super().handle_async_request(request)

    httpx._client.HTTPTransport = Transport
    httpx._client.AsyncHTTPTransport = AsyncTransport


def _replace_requests() -> None:
    import requests.adapters
    import requests.sessions

    import dugong.requests

    class Adapter(dugong.requests.Adapter):
        def send(self, *arguments: Any, **options: Any) -> Any:
            _count()
            return super().send(*arguments, **options)

    # So that it can be pickled.
    Adapter.__qualname__ = 'Adapter'
    globals()['Adapter'] = Adapter
    requests.adapters.HTTPAdapter = requests.sessions.HTTPAdapter = Adapter
