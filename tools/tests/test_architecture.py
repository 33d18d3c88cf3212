"""ARCHITECTURE.md names functions and types that the files beside them define."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / 'ARCHITECTURE.md').read_text()

# `a`, `b` and `c` in [`file.rs`](path), with a line break anywhere between them.
NAMES = r'((?:`[\w:]+`(?:,\s|\sand\s)?)+)\sin\s\[`[^`]+`\]\(([^)]+)\)'
CLAIMS = sorted(
    {
        (name.split('::')[-1], path)
        for names, path in re.findall(NAMES, TEXT)
        for name in re.findall(r'`([\w:]+)`', names)
    }
)


@pytest.mark.parametrize(('name', 'path'), CLAIMS)
def test_a_file_defines_what_is_said_to_be_in_it(name: str, path: str) -> None:
    definition = rf'\b(fn|struct|enum|trait|class|def) {re.escape(name)}\b'
    file = ROOT / path
    # Or it is exported there, or a variant.
    assert re.search(
        rf'{definition}|^pub use .*\b{re.escape(name)}\b|^ +{re.escape(name)}\(', file.read_text(), re.MULTILINE
    )


SOURCES = '\n'.join(
    file.read_text()
    for crate in (ROOT / 'crates').iterdir()
    for folder in ('src', 'python', 'tests')
    for file in (crate / folder).rglob('*')
    if file.suffix in ('.rs', '.py')
)


@pytest.mark.parametrize('name', sorted(set(re.findall(r'`(?:\w+::)*([a-z]+(?:_[a-z]+)+)`', TEXT))))
def test_a_name_without_a_file_is_in_use(name: str) -> None:
    assert re.search(rf'\b{name}\b', SOURCES)


def test_there_are_claims() -> None:
    assert len(CLAIMS) > 40
