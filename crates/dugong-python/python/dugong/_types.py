"""Types of arguments, for annotations: the package imports this only for type checkers."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from ssl import SSLContext
from typing import Any, BinaryIO, TypedDict

Buffer = bytes | bytearray | memoryview
Pieces = Iterable[Buffer] | AsyncIterable[Buffer]
Content = Buffer | BinaryIO | os.PathLike[str] | Pieces | Callable[[], Buffer | BinaryIO | os.PathLike[str] | Pieces]
Headers = Mapping[str, object] | Iterable[tuple[str, object]]
Params = Mapping[str, object] | Iterable[tuple[str, object]]
Pem = bytes | str | os.PathLike[str]


class Options(TypedDict, total=False):
    """The keywords of a request: see `dugong.Request`."""

    headers: Headers | None
    params: Params | None
    content: Content | None
    json: Any
    stream: bool
    timeout: float | None
    total_timeout: float | None
    retry: bool | None
    expect: bool | None
    digest: str | None


class Settings(TypedDict, total=False):
    """The settings of a session: see `dugong.Session`."""

    connections: int
    depth: int
    window: int
    max_content: int
    retries: int
    timeout: float | None
    connect_timeout: float | None
    total_timeout: float | None
    idle_timeout: float | None
    expect_timeout: float | None
    expect_above: int | None
    retry_budget: int | None
    backoff: tuple[float, float]
    repeat_statuses: Iterable[int]
    headers: Headers | None
    auth: tuple[str, str] | Callable[[Any], Any] | None
    sign: Callable[[Any], Any] | None
    proxy: str | tuple[str, int] | None
    tls: Any
    ssl_context: SSLContext | None
    redirects: int
