"""`docs/compatibility.md` has every statement that the tests and the source cite by its number."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

CRATE = Path(__file__).parents[1]
PAGE = (CRATE.parents[1] / 'docs' / 'compatibility.md').read_text()
STATED = re.findall(r'^- \*\*(\d+\.\d+[ab]?)\*\* ', PAGE, re.MULTILINE)

NUMBER = r'\d+\.\d+[ab]?'
NUMBERS = rf'{NUMBER}(?:(?:, | and | to ){NUMBER})*'


def cited(text: str) -> Iterator[str]:
    for name in re.findall(r'def test_(\d+_\d+[ab]?(?:_and_\d+_\d+[ab]?)*)_', text):
        yield from name.replace('_and_', ' ').replace('_', '.').split()
    for numbers in re.findall(rf'[Ss]tatements? ({NUMBERS})|^# ({NUMBERS})', text, re.MULTILINE):
        yield from re.findall(NUMBER, ''.join(numbers))


def test_numbers_are_found() -> None:
    text = 'def test_7_5a_and_17_2_x():\n# 7.7, 7.8: names\n# statements 8.2 to 8.4, RFC 9112 6.3'
    assert list(cited(text)) == ['7.5a', '17.2', '7.7', '7.8', '8.2', '8.4']


FILES = sorted([*CRATE.glob('tests/*.py'), *CRATE.glob('src/*.rs'), *CRATE.glob('python/dugong/*.py*')])
CITING = {path.name: found for path in FILES if (found := set(cited(path.read_text())))}


@pytest.mark.parametrize('name', CITING)
def test_cited_statements_are_published(name: str) -> None:
    assert CITING[name] - set(STATED) == set()


def test_statements_are_in_order_and_stand_once() -> None:
    def key(number: str) -> tuple[int, int, str]:
        section, rest = number.split('.')
        return int(section), int(rest.rstrip('ab')), rest.lstrip('0123456789')

    assert sorted(set(STATED), key=key) == STATED
    assert {key(number)[0] for number in STATED} == set(range(1, 24))


def test_statements_that_the_page_cites_exist() -> None:
    lines = [re.sub(r'\]\([^)]*\)|RFC \d+ §[\d.]+|HTTP/1\.[01]|3\.8\.2', '', line) for line in PAGE.splitlines()]
    numbers = {number for line in lines for number in re.findall(rf'(?<![\d.*])({NUMBER})(?![\d*])', line)}
    assert numbers - set(STATED) == set()
