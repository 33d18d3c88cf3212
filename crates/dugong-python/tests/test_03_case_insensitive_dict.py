from __future__ import annotations

import copy
import pickle
from collections import OrderedDict, UserDict
from collections.abc import Mapping, MutableMapping
from typing import Any

import pytest

from dugong import CaseInsensitiveDict


class Sub(CaseInsensitiveDict):
    extra: Any = None


def test_3_1_is_a_mutable_mapping_but_no_dict() -> None:
    assert issubclass(CaseInsensitiveDict, MutableMapping)
    assert not issubclass(CaseInsensitiveDict, dict)


def test_3_1_access_ignores_case() -> None:
    d = CaseInsensitiveDict({'Content-Type': 'text/plain', 'Range': 'x', 'Date': 'y'})
    assert d['content-TYPE'] == d.get('CONTENT-type') == 'text/plain'
    assert 'RANGE' in d
    assert 'RANGE' in d.keys()  # noqa: SIM118
    assert d.setdefault('range', 'z') == 'x'
    assert d.setdefault('New', 'z') == d['new'] == 'z'
    assert d.pop('RANGE') == 'x'
    assert d.pop('range', None) is None
    del d['DATE']
    assert list(d) == ['Content-Type', 'New']
    assert len(d) == 2


def test_3_1_constructor_takes_the_arguments_of_dict() -> None:
    class WithKeys:
        def keys(self) -> list[str]:
            return ['A']

        def __getitem__(self, key: str) -> str:
            return key + '!'

    assert list(CaseInsensitiveDict()) == []
    assert list(CaseInsensitiveDict({'A': 1, 'b': 2}).items()) == [('A', 1), ('b', 2)]
    assert list(CaseInsensitiveDict([('A', 1), ('b', 2), ('a', 3)]).items()) == [('a', 3), ('b', 2)]
    assert list(CaseInsensitiveDict(iter([('A', 1)]), B=2).items()) == [('A', 1), ('B', 2)]
    assert list(CaseInsensitiveDict(A=1, self=2, data=3)) == ['A', 'self', 'data']
    assert list(CaseInsensitiveDict({'A': 1}, a=2).items()) == [('a', 2)]
    with_keys: Any = WithKeys()
    assert CaseInsensitiveDict(with_keys)['a'] == 'A!'
    assert CaseInsensitiveDict(CaseInsensitiveDict(A=1)) == {'a': 1}
    for wrong in 5, [1, 2], [('a', 1, 2)]:
        bad: Any = wrong
        with pytest.raises((TypeError, ValueError)):
            CaseInsensitiveDict(bad)


def test_3_1_keys_are_str() -> None:
    d = CaseInsensitiveDict(a=1)
    for wrong in 1, b'a', None, ('a',), ['a']:
        key: Any = wrong
        with pytest.raises(TypeError):
            d[key] = 1
        with pytest.raises(KeyError):
            d[key]
        with pytest.raises(KeyError):
            del d[key]
        assert key not in d
        assert d.get(key) is None
    assert d == {'a': 1}


def test_3_2_last_spelling_first_position() -> None:
    d = CaseInsensitiveDict([('one', 1), ('Two', 2), ('three', 3)])
    d['ONE'] = 4
    d.update(tWO=5)
    assert list(d) == list(d.keys()) == ['ONE', 'tWO', 'three']
    assert list(d.items()) == [('ONE', 4), ('tWO', 5), ('three', 3)]
    assert list(d.values()) == [4, 5, 3]
    assert repr(d) == "CaseInsensitiveDict({'ONE': 4, 'tWO': 5, 'three': 3})"
    assert repr(CaseInsensitiveDict()) == 'CaseInsensitiveDict({})'


def test_3_2_a_deleted_key_comes_back_last() -> None:
    d = CaseInsensitiveDict(a=1, b=2)
    del d['A']
    d['A'] = 3
    assert list(d) == ['b', 'A']


def test_3_3_equality_ignores_the_case_of_keys_alone() -> None:
    d = CaseInsensitiveDict(A='x', b='Y')
    same: list[Mapping[Any, Any]] = [
        {'a': 'x', 'B': 'Y'},
        {'B': 'Y', 'a': 'x'},
        CaseInsensitiveDict(B='Y', a='x'),
        OrderedDict(a='x', b='Y'),
        UserDict(a='x', b='Y'),
    ]
    for other in same:
        assert d == other
        assert isinstance(other, UserDict) or other == d  # UserDict compares in its own way
        assert not d != other  # noqa: SIM202
    others: list[Any] = [
        {'a': 'X', 'b': 'Y'},
        {'a': 'x'},
        {'a': 'x', 'b': 'Y', 5: 6},
        [('a', 'x'), ('b', 'Y')],
        5,
        None,
    ]
    for other in others:
        assert d != other
        assert not d == other  # noqa: SIM201


def test_3_3_unhashable() -> None:
    with pytest.raises(TypeError):
        hash(CaseInsensitiveDict())


@pytest.mark.parametrize('cls', [CaseInsensitiveDict, Sub])
def test_3_4_copies_are_independent(cls: type[CaseInsensitiveDict]) -> None:
    d = cls(A=[1])
    for other in d.copy(), copy.copy(d):
        assert isinstance(other, CaseInsensitiveDict)
        assert type(other) is cls
        assert other == d
        assert other['a'] is d['a']
        other['B'] = 2
        d['C'] = 3
        assert list(other) == ['A', 'B']
        assert list(d) == ['A', 'C']
        del d['C']


def test_3_4_lower_items() -> None:
    d = CaseInsensitiveDict([('One', 'X'), ('two', 'y')])
    items = d.lower_items()
    assert iter(items) is items
    assert list(items) == [('one', 'X'), ('two', 'y')]


@pytest.mark.parametrize('key', ['x', 'X', ''])
def test_3_5_missing_key(key: str) -> None:
    d = CaseInsensitiveDict(a=1)
    for call in d.__getitem__, d.__delitem__, d.pop:
        with pytest.raises(KeyError) as caught:
            call(key)
        assert caught.value.args == (key,)
    with pytest.raises(KeyError):
        CaseInsensitiveDict().popitem()


def test_3_5_attributes_are_copied_too() -> None:
    d = Sub(A=[1])
    d.extra = [2]
    for other in (copy.copy(d), d.copy()):
        assert isinstance(other, Sub)
        assert other.extra is d.extra
    deep = copy.deepcopy(d)
    assert deep == d
    assert deep.extra == [2]
    assert deep['A'] is not d['A']
    assert deep.extra is not d.extra


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize('cls', [CaseInsensitiveDict, Sub])
def test_3_5_pickle(cls: type[CaseInsensitiveDict], protocol: int) -> None:
    d: Any = cls([('One', 1), ('two', 2)])
    d.extra = 3
    got = pickle.loads(pickle.dumps(d, protocol))
    assert [type(got)] == [cls]
    assert list(got.items()) == [('One', 1), ('two', 2)]
    assert got['ONE'] == 1
    assert got.extra == 3
    got['three'] = 3
    assert 'three' not in d
