"""Header sections: the mapping for those we send, the message for those we get."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from email.message import Message
    from typing import Any, Self

    _Base = MutableMapping[str, Any]
else:
    _Base = MutableMapping


class CaseInsensitiveDict(_Base):
    """A mutable mapping whose keys are `str` and are compared without regard to case.

    The constructor takes what that of `dict` takes. Iteration yields the keys as they were spelled when they were
    last set, in the order in which they were first set.

        >>> headers = CaseInsensitiveDict({'accept': 'text/plain'}, Range='bytes=0-9')
        >>> headers['ACCEPT'] = '*/*'
        >>> headers
        CaseInsensitiveDict({'ACCEPT': '*/*', 'Range': 'bytes=0-9'})

    It equals every mapping with the same lower-cased keys and the same values. Instances are not hashable.
    """

    _items: dict[str, tuple[str, Any]]  # by lower-cased key: the key as it was last spelled, and the value

    def __init__(self, data: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), /, **kwargs: Any) -> None:
        self._items = {}
        self.update(data, **kwargs)

    def __getitem__(self, key: str) -> Any:
        try:
            return self._items[_lower(key)][1]
        except KeyError:
            raise KeyError(key) from None

    def __setitem__(self, key: str, value: Any) -> None:
        lower = _lower(key)
        if lower is None:
            raise TypeError(f'keys must be str, not {type(key).__name__}')
        self._items[lower] = (key, value)

    def __delitem__(self, key: str) -> None:
        try:
            del self._items[_lower(key)]
        except KeyError:
            raise KeyError(key) from None

    def __contains__(self, key: object) -> bool:
        return _lower(key) in self._items

    def __iter__(self) -> Iterator[str]:
        for key, _ in self._items.values():
            yield key

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping):
            return NotImplemented
        theirs = _by_lower(other.items())  # pyright: ignore[reportUnknownArgumentType]
        return dict(self.lower_items()) == theirs

    def __repr__(self) -> str:
        return f'{type(self).__name__}({dict(self.items())!r})'

    def __copy__(self) -> Self:
        new = type(self).__new__(type(self))
        new.__dict__.update(self.__dict__, _items=self._items.copy())
        return new

    def copy(self) -> Self:
        """Return an independent copy; the values are shared."""
        return self.__copy__()

    def lower_items(self) -> Iterator[tuple[str, Any]]:
        """Iterate over the pairs of lower-cased key and value."""
        for lower, (_, value) in self._items.items():
            yield lower, value


def make_message(lines: Iterable[tuple[str, str]]) -> Message:
    """Return a `Message` without payload that has the given field lines, in order.

    It keeps values just as they are: it neither parses nor refuses them, and repeated lines are no error.
    """
    from email.message import Message  # noqa: PLC0415  # takes longer than all the rest of the package

    message = Message()
    for name, value in lines:
        message.set_raw(name, value)
    return message


def _lower(key: Any) -> Any:
    """Return the key to compare with. Objects other than `str` cannot be keys: they give None, which is never a key."""
    return key.lower() if isinstance(key, str) else None


def _by_lower(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    return {_lower(key): value for key, value in pairs}
