"""Loads the extension first of all, and says what to do where it cannot be loaded: in a subinterpreter."""

from __future__ import annotations


def _load() -> None:
    try:
        from . import _dugong  # noqa: F401, PLC0415  # pyright: ignore[reportPrivateUsage, reportUnusedImport]
    except ImportError as exc:
        # The extension says so, or CPython itself, if the interpreter has a GIL of its own.
        if 'subinterpreter' not in str(exc):
            raise
        raise ImportError(
            'dugong cannot be loaded in a subinterpreter; use threads or processes instead, and with mod_wsgi the main '
            'interpreter: WSGIApplicationGroup %{GLOBAL}',
            name=__package__,
        ) from None


_load()
