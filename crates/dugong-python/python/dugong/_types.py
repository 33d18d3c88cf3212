"""Types of arguments, for annotations: the package imports this only for type checkers."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from typing import BinaryIO

Buffer = bytes | bytearray | memoryview
Pieces = Iterable[Buffer] | AsyncIterable[Buffer]
Content = Buffer | BinaryIO | os.PathLike[str] | Pieces | Callable[[], Buffer | BinaryIO | os.PathLike[str] | Pieces]
Headers = Mapping[str, object] | Iterable[tuple[str, object]]
Params = Mapping[str, object] | Iterable[tuple[str, object]]
Pem = bytes | str | os.PathLike[str]
