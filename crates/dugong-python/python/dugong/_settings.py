"""Checks the settings of sessions."""

from __future__ import annotations

from ._request import Request, seconds, whole_number
from ._tls import Tls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: The settings, with their defaults.
DEFAULTS: dict[str, Any] = {
    'connections': 4,
    'depth': 32,
    'window': 4 << 20,
    'max_content': 64 << 20,
    'retries': 4,
    'timeout': 30.0,
    'connect_timeout': 10.0,
    'total_timeout': None,
    'idle_timeout': 60.0,
    'expect_timeout': 1.0,
    'expect_above': 1 << 20,
    'retry_budget': 10,
    'backoff': (0.1, 10.0),
    'repeat_statuses': (),
    'headers': None,
    'auth': None,
    'sign': None,
    'proxy': None,
    'tls': None,
    'ssl_context': None,
    'redirects': 0,
}

#: Settings that are a number, and the least of it.
_NUMBERS = {'connections': 1, 'depth': 1, 'window': 1, 'max_content': 0, 'retries': 0}
_TIMES = ('timeout', 'connect_timeout', 'total_timeout', 'idle_timeout', 'expect_timeout')

#: A time that never passes.
_NEVER = 10**9


def checked(given: dict[str, Any]) -> dict[str, Any]:
    """Return the settings as the extension takes them; wrong ones raise an error that names them."""
    settings: dict[str, Any] = {name: whole_number(given[name], name, least) for name, least in _NUMBERS.items()}
    for name in _TIMES:
        limit = seconds(given[name], name)
        settings[name] = _NEVER if limit is None and name not in ('connect_timeout', 'total_timeout') else limit
    for name in 'retry_budget', 'expect_above', 'redirects':
        value = given[name]
        settings[name] = None if value is None and name != 'redirects' else whole_number(value, name)
    settings['backoff'] = _backoff(given['backoff'])
    settings['repeat_statuses'] = [whole_number(status, 'repeat_statuses', 100) for status in given['repeat_statuses']]
    settings['headers'] = _headers(given['headers'])
    settings.update(_auth(given['auth']))
    if (sign := given['sign']) is not None:
        if not callable(sign):
            raise TypeError(f'sign has to be a function of a request, not {sign!r}')
        settings['sign'] = sign
    if given['proxy'] is not None:
        settings['proxy'] = _proxy(given['proxy'])
    settings.update(_tls(given['tls'], given['ssl_context']))
    return settings


def _backoff(given: Any) -> tuple[float, float]:
    try:
        first, longest = given
    except (TypeError, ValueError):
        raise TypeError(f'backoff has to be two numbers of seconds, the first and the longest, not {given!r}') from None
    pair = seconds(first, 'backoff'), seconds(longest, 'backoff')
    if pair[0] is None or pair[1] is None:
        raise TypeError(f'backoff has to be two numbers of seconds, not {given!r}')
    if pair[0] > pair[1]:
        raise ValueError(f'backoff begins with {first}, which is more than the longest, {longest}')
    return pair[0], pair[1]


def _headers(given: Any) -> list[tuple[str, str]]:
    if given is None:
        return []
    return list(Request('GET', '/', headers=given).headers.items())


def _auth(given: Any) -> dict[str, Any]:
    if given is None:
        return {}
    if callable(given):
        return {'auth': given}
    is_pair = given.__class__ is tuple and len(given) == 2
    if is_pair and isinstance(given[0], str) and isinstance(given[1], str):
        return {'basic': given}
    raise TypeError(f'auth has to be a tuple of user and password, or a function, not {type(given).__name__}')


def _proxy(given: Any) -> str:
    if isinstance(given, str):
        return given if '://' in given else f'http://{given}'
    try:
        host, port = given
    except (TypeError, ValueError):
        raise TypeError(f'proxy has to be a URL or a pair of host and port, not {given!r}') from None
    return f'http://[{host}]:{port}' if ':' in host else f'http://{host}:{port}'


def _tls(tls: Any, context: Any) -> dict[str, Any]:
    if tls is not None and context is not None:
        raise ValueError('tls and ssl_context cannot be combined: each is a way to do TLS')
    if tls is not None:
        if not isinstance(tls, Tls):
            raise TypeError(f'tls has to be a dugong.Tls, not {type(tls).__name__}')
        return {'tls': tls.pem()}
    if context is not None:
        if not hasattr(context, 'wrap_socket'):
            raise TypeError(f'ssl_context has to be an ssl.SSLContext, not {type(context).__name__}')
        return {'ssl_context': context}
    return {}
