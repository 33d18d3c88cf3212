"""Checks the settings of sessions."""

from __future__ import annotations

from ._hooks import NOT_AWAITED
from ._request import MOST, Request, seconds, whole_number
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

#: What the extension counts in 32 bits.
_COUNT = 2**32 - 1

#: Settings that are a number, with the least and the most of it.
_NUMBERS = {
    'connections': (1, MOST),
    'depth': (1, _COUNT),
    'window': (1, MOST),
    'max_content': (0, MOST),
    'retries': (0, _COUNT),
}
_TIMES = ('timeout', 'connect_timeout', 'total_timeout', 'idle_timeout', 'expect_timeout')

#: A time that never passes.
_NEVER = 10**9


def checked(given: dict[str, Any]) -> dict[str, Any]:
    """Return the settings as the extension takes them; wrong ones raise an error that names them."""
    settings: dict[str, Any] = {name: whole_number(given[name], name, *limits) for name, limits in _NUMBERS.items()}
    for name in _TIMES:
        limit = seconds(given[name], name)
        settings[name] = _NEVER if limit is None and name not in ('connect_timeout', 'total_timeout') else limit
    for name, most in ('retry_budget', _COUNT), ('expect_above', MOST), ('redirects', _COUNT):
        value = given[name]
        settings[name] = None if value is None and name != 'redirects' else whole_number(value, name, 0, most)
    settings['backoff'] = _backoff(given['backoff'])
    settings['repeat_statuses'] = _statuses(given['repeat_statuses'])
    settings['headers'] = _headers(given['headers'])
    settings.update(_auth(given['auth']))
    if (sign := given['sign']) is not None:
        if not callable(sign):
            raise TypeError(f'sign has to be a function of a request, not {sign!r}')
        settings['sign'] = _synchronous(sign, 'sign')
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


def _statuses(given: Any) -> list[int]:
    if isinstance(given, (str, bytes)) or not hasattr(given, '__iter__'):
        raise TypeError(f'repeat_statuses has to be an iterable of status codes, such as (500, 502), not {given!r}')
    return [whole_number(status, 'a status of repeat_statuses', 100, 599) for status in given]


def _synchronous(function: Any, name: str) -> Any:
    """Refuse an `async def`: a session calls it in the middle of a step, and cannot await there."""
    import inspect  # noqa: PLC0415

    asked = (function, getattr(function, '__call__', None))  # noqa: B004  # an object can have an async __call__
    if any(inspect.iscoroutinefunction(one) or inspect.isasyncgenfunction(one) for one in asked):
        raise TypeError(f'{name} {NOT_AWAITED}; {function!r} is asynchronous')
    return function


def _auth(given: Any) -> dict[str, Any]:
    if given is None:
        return {}
    if callable(given):
        return {'auth': _synchronous(given, 'auth')}
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
