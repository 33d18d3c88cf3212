"""How Sphinx builds these pages: `make docs`, or `sphinx-build -W --keep-going -b html docs docs/_build`.

Nothing is fetched while building, and nothing by the pages when they are read.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx.addnodes import desc_annotation, desc_name, desc_sig_keyword, desc_sig_space, desc_signature, pending_xref
from sphinx.transforms import SphinxTransform

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

if not importlib.util.find_spec('dugong'):  # not installed: use the build in place
    sys.path.insert(0, str(Path(__file__).parent.parent / 'crates' / 'dugong-python' / 'python'))

import dugong

project = 'Dugong'
author = 'the Dugong developers'
copyright = author  # noqa: A001  # the name that Sphinx reads
version = release = dugong.__version__

extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx_copybutton']
exclude_patterns = ['_build']
suppress_warnings = ['myst.header']  # a page may begin with a second-level heading after an include

html_theme = 'furo'
html_title = f'Dugong {version}'
html_theme_options = {'top_of_page_buttons': []}
html_copy_source = False
html_show_sphinx = False

myst_heading_anchors = 3

# Copies leave out prompts, and the output of blocks with prompts.
copybutton_prompt_text = r'\$ |>>> |\.\.\. '
copybutton_prompt_is_regexp = True
copybutton_selector = 'div.highlight-python pre, div.highlight-console pre, div.highlight-rust pre, div.highlight-pycon pre'

default_role = 'py:obj'
highlight_language = 'python'
python_use_unqualified_type_names = True
toc_object_entries_show_parents = 'hide'
add_module_names = False

autodoc_member_order = 'groupwise'
autodoc_typehints = 'signature'
autodoc_class_signature = 'mixed'


def setup(app: Sphinx) -> None:
    """Connect the functions of this file to Sphinx."""
    app.connect('autodoc-process-docstring', mark_code)
    app.connect('autodoc-process-signature', add_types)
    app.connect('missing-reference', find_method)
    app.connect('object-description-transform', show_await)
    app.add_transform(LinkNames)


def mark_code(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Tell Sphinx that an indented block of a docstring is an example; for a reader of the source it needs no mark."""
    found = []
    before = ''
    for line in lines:
        starts = line.startswith('    ') and not before.startswith(' ') and not re.match(r'[-*] |\d+\. ', before)
        if starts and not (found and found[-1]):
            language = 'pycon' if line.lstrip().startswith('>>>') else 'python'
            found += [f'.. code-block:: {language}', '']
        if line.strip():
            before = line
        found.append(line)
    lines[:] = found


# How types that only the stub knows are shown.
SHOWN = {
    r' \| _WrapsSockets': '',
    r'\bOperation\[(.*)\]': r'\1',  # what await gives; see `show_await`
    r'\bWriteableBuffer\b': 'Buffer',
}


def read_stub() -> dict[str, str]:
    """Return the signatures in the type stub of the extension, by qualified name."""
    stub = Path(dugong.__file__).with_name('_dugong.pyi')
    if not stub.exists():
        return {}
    text = stub.read_text()
    for pattern, shown in SHOWN.items():
        text = re.sub(pattern, shown, text)
    found: dict[str, list[str]] = {}
    for cls in ast.parse(text).body:
        if isinstance(cls, ast.ClassDef):
            for method in cls.body:
                if isinstance(method, ast.FunctionDef):
                    method.args.posonlyargs = [a for a in method.args.posonlyargs if a.arg != 'self']
                    method.args.args = [a for a in method.args.args if a.arg != 'self']
                    returns = f' -> {ast.unparse(method.returns)}' if method.returns else ''
                    name = f'dugong.{cls.name}' + ('' if method.name in ('__init__', '__new__') else f'.{method.name}')
                    found.setdefault(name, []).append(f'({ast.unparse(method.args)}){returns}')
    return {name: signatures[0] for name, signatures in found.items() if len(signatures) == 1}  # overloads have several


SIGNATURES = read_stub()


def add_types(app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str, returns: str) -> Any:
    """Take the signature from the stub: an extension's own has no types."""
    if what not in ('class', 'method') or name not in SIGNATURES:
        return None
    arguments, _, result = SIGNATURES[name].rpartition(' -> ')
    return (arguments, result) if arguments and what == 'method' else (SIGNATURES[name].split(' -> ')[0], None)


def show_await(app: Sphinx, domain: str, kind: str, content: nodes.Element) -> None:
    """Write `await` before the methods whose result is awaited."""
    for signature in content.parent.findall(desc_signature):
        name = next(iter(signature.findall(desc_name)), None)
        if name is not None and name.astext().startswith('co_') and name.astext() != 'co_pipeline':
            signature.insert(0, desc_annotation('', '', desc_sig_keyword('', 'await'), desc_sig_space()))


def find_method(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element) -> nodes.Element | None:
    """Find `send_request` in the docstring of another class, too."""
    target = node.get('reftarget', '')
    if node.get('refdomain') != 'py' or target in LinkNames.words or not hasattr(dugong.HTTPConnection, target):
        return None
    target = f'dugong.HTTPConnection.{target}'
    return env.domains['py'].resolve_xref(env, node['refdoc'], app.builder, 'obj', target, node, content)


class LinkNames(SphinxTransform):
    """Make names of the package in running text links to the reference: `readall`, `conn.read(n)`, `BodyFollowing`."""

    default_priority = 500
    words = frozenset({'read', 'write', 'close', 'connect', 'reset', 'port', 'proxy', 'timeout', 'hostname', 'log'})

    def apply(self, **kwargs: Any) -> None:
        """Replace the literals whose whole text is such a name."""
        for literal in list(self.document.findall(nodes.literal)):
            if literal.parent.tagname in ('reference', 'title', 'pending_xref'):
                continue
            text = literal.astext()
            name = re.sub(r'\(.*\)$', '', text).removeprefix('dugong.')
            target = self.target(name, called=name != text)
            if target is None or target == self.env.current_document.docname:
                continue
            options = {'py:module': None, 'py:class': None, 'refspecific': False, 'refwarn': False}
            xref = pending_xref('', refdomain='py', reftype='obj', reftarget=target, refexplicit=True, **options)
            xref['refdoc'] = self.env.current_document.docname
            literal.replace_self(xref)
            xref += literal

    def target(self, name: str, *, called: bool) -> str | None:
        """Return the full name of the documented object that *name* means."""
        first, dot, rest = name.partition('.')
        module = 'dugong.httpio' if self.env.current_document.docname == 'httpio' else 'dugong'
        connection = importlib.import_module(module).HTTPConnection
        method = rest if first == 'conn' and dot else name
        if hasattr(connection, method) and (first == 'conn' or called or name not in self.words):
            return f'{module}.HTTPConnection.{method}'
        if hasattr(dugong, first) and not first.startswith('_') and first not in ('httpio', *self.words):
            return f'{module}.{name}' if first == 'HTTPConnection' else f'dugong.{name}'
        return None
