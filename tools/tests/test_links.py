"""Links between the files of the repository lead somewhere, also from a package index."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import re
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    *ROOT.glob('*.md'),
    *ROOT.glob('crates/*/README.md'),
    *(ROOT / 'bench').glob('*.md'),
    *(ROOT / 'corpus').glob('*.md'),
    *(ROOT / 'examples').rglob('*.md'),
    *(path for path in (ROOT / 'docs').rglob('*.md') if '_build' not in path.parts),
]


def prose(page: Path) -> str:
    """Return a page without its code."""
    return re.sub(r'`[^`\n]*`', '', re.sub(r'^```.*?^```', '', page.read_text(), flags=re.MULTILINE | re.DOTALL))


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page."""
    text = re.sub(r'^```.*?^```', '', page.read_text(), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r'^#+ (.*)$', text, re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', title.lower()).replace(' ', '-') for title in titles}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    lost = []
    for target, anchor in re.findall(r'\]\((?![a-z]+:)([^)#\s]*)#?([^)\s]*)\)', prose(page)):
        there = (page.parent / target).resolve() if target else page
        if not there.exists() or (anchor and there.suffix == '.md' and anchor not in anchors(there)):
            lost.append(f'{target}#{anchor}')
    assert lost == []


@pytest.fixture(scope='module')
def tool() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader('absolute_links', str(ROOT / 'tools/absolute-links'))
    spec = importlib.util.spec_from_loader('absolute_links', loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.mark.parametrize('page', [ROOT / 'README.md', *ROOT.glob('crates/*/README.md')], ids=str)
def test_for_a_package_index_every_link_is_absolute(page: Path, tool: ModuleType) -> None:
    folder = str(page.parent.relative_to(ROOT))
    text = tool.absolute(page.read_text(), folder, 'https://example.net/dugong/blob/v1')
    links = re.findall(r'\]\(([^)\s]*)\)', text)
    assert [link for link in links if not link.startswith(('https://', '#'))] == []


def test_an_absolute_link_keeps_path_and_heading(tool: ModuleType) -> None:
    text = 'See [a](README.md#x), [b](../../docs), [c](https://example.org/), [d](#here).'
    wanted = 'See [a](u/crates/a/README.md#x), [b](u/docs), [c](https://example.org/), [d](#here).'
    assert tool.absolute(text, 'crates/a', 'u') == wanted


def test_nothing_is_rewritten_while_the_repository_is_a_placeholder() -> None:
    if 'https://example.org/' not in (ROOT / 'Cargo.toml').read_text():
        pytest.skip('the repository has its address')
    done = subprocess.run([ROOT / 'tools/absolute-links', 'v1'], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'placeholder' in done.stderr
