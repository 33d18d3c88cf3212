"""`Tls`: the certificates of a session that speaks TLS without the GIL."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Pem


class Tls:
    """Which certificates a session trusts, and which it shows.

        session = dugong.Session('https://internal.example', tls=dugong.Tls(ca='ca.pem'))

    Each argument is the path of a PEM file, or PEM as bytes or as a str that begins with `-----BEGIN`. With *ca*, the
    certificates in it are trusted instead of those of the platform. *cert* is your certificate, followed by those of
    its issuers, and *key* its private key, not encrypted; without *key*, it has to be in *cert*. The files are read at
    once.

    A certificate that is not trusted, has expired or is for another host is always an error.
    """

    __slots__ = ('_ca', '_cert', '_key')

    def __init__(self, *, ca: Pem | None = None, cert: Pem | None = None, key: Pem | None = None) -> None:
        if key is not None and cert is None:
            raise ValueError('key needs cert: a private key without its certificate is of no use')
        self._ca = None if ca is None else _pem(ca, 'ca')
        self._cert = None if cert is None else _pem(cert, 'cert')
        self._key = self._cert if key is None else _pem(key, 'key')

    def pem(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """Return the PEM of the trusted certificates, of your own, and of its key."""
        return self._ca, self._cert, self._key

    def __repr__(self) -> str:
        trusted = 'the platform' if self._ca is None else 'a PEM'
        shown = '' if self._cert is None else ', with a client certificate'
        return f'<dugong.Tls trusting {trusted}{shown}>'


def _pem(given: object, name: str) -> bytes:
    if isinstance(given, bytes):
        return given
    if isinstance(given, str) and given.lstrip().startswith('-----BEGIN'):
        return given.encode()
    if not isinstance(given, (str, os.PathLike)):
        raise TypeError(f'{name} has to be the path of a PEM file, or PEM as bytes, not {type(given).__name__}')
    with open(given, 'rb') as file:  # pyright: ignore[reportUnknownArgumentType]
        return file.read()
