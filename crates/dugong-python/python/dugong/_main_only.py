"""Loads the extension before the other modules. In a subinterpreter, where that fails, the message has advice."""

from __future__ import annotations


def _load() -> None:
    try:
        from . import _dugong  # noqa: F401, PLC0415  # pyright: ignore[reportPrivateUsage, reportUnusedImport]
    except ImportError as exc:
        # The message is from the extension, or from CPython if the interpreter has its own GIL.
        if 'subinterpreter' not in str(exc):
            raise
        raise ImportError(
            'dugong cannot be loaded in a subinterpreter; use threads or processes instead, and with mod_wsgi the main '
            'interpreter: WSGIApplicationGroup %{GLOBAL}',
            name=__package__,
        ) from None


_load()
