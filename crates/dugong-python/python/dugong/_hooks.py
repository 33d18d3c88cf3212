"""Runs the functions of a session that add fields to each attempt."""

from __future__ import annotations

from ._request import request_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._request import Request

#: A session calls the functions in the middle of a step, where no task can wait.
NOT_AWAITED = 'has to be a plain function: await what it needs, such as a token, before, and return that'


def signed(
    given: object,
    method: str,
    target: str,
    lines: list[tuple[str, str]],
    defaults: list[tuple[str, str]],
    auth: Callable[[Request], Any] | None,
    sign: Callable[[Request], Any] | None,
    origin: str,
    host: str,
) -> Request:
    """Return a copy of the request with the fields of *auth* and *sign*, for one attempt."""
    asked = request_of(given)
    request = asked._with_head(method, target, lines)  # pyright: ignore[reportPrivateUsage]
    request.origin = origin
    for name, value in defaults:
        if name not in request.headers:
            request.headers[name] = value
    if 'Host' not in request.headers:
        request.headers['Host'] = host
    if auth is not None and 'Authorization' not in request.headers:
        _apply(request, auth(request), 'auth')
    if sign is not None:
        _apply(request, sign(request), 'sign')
    return request


def _apply(request: Request, result: Any, name: str) -> None:
    """Take in what a function has returned: None, the request, a value of `Authorization`, or fields to set."""
    if result is None or result is request:
        return
    if hasattr(result, '__await__'):
        if hasattr(result, 'close'):
            result.close()  # or Python warns that it was never awaited
        raise TypeError(f'{name} {NOT_AWAITED}; it returned {result!r}')
    if isinstance(result, str) and name == 'auth':
        request.headers['Authorization'] = result
        return
    if not hasattr(result, 'items'):
        wanted = 'None, the request, or a mapping of fields'
        raise TypeError(f'{name} has to return {wanted}, not {type(result).__name__}')
    fields: Any = result
    for field, value in fields.items():
        del request.headers[field]
        request.headers[field] = value
