"""Subinterpreters, as mod_wsgi makes them, cannot load the package, and the message says what to do."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest
from interop_support import python_environment

#: The code for the other interpreter.
INSIDE = """
import sys
try:
    import dugong
except ImportError as exc:
    print(exc)
else:
    print('loaded')
print('dugong' in sys.modules)
"""

PROGRAM = """
import sys
if 'before' in sys.argv:
    import dugong
try:
    import _interpreters
except ImportError:
    import _xxsubinterpreters
    _xxsubinterpreters.run_string(_xxsubinterpreters.create(), INSIDE)
else:
    assert not _interpreters.run_string(_interpreters.create(sys.argv[2]), INSIDE)
import dugong
try:
    dugong.HTTPConnection('www.example.org').read_response()
except dugong.StateError:
    print('caught')
"""


@pytest.mark.skipif(
    not any(map(importlib.util.find_spec, ['_interpreters', '_xxsubinterpreters'])),
    reason='there are no subinterpreters',
)
@pytest.mark.parametrize('kind', ['legacy', 'isolated'])
@pytest.mark.parametrize('first', ['before', 'after'])
def test_a_subinterpreter_is_refused_and_the_main_one_goes_on(first: str, kind: str) -> None:
    """Whether it shares the GIL with the main interpreter; Python 3.11 has no other kind."""
    done = subprocess.run(
        [sys.executable, '-c', f'INSIDE = {INSIDE!r}\n{PROGRAM}', first, kind],
        env=python_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, '')
    refused, is_loaded, caught = done.stdout.splitlines()
    assert 'subinterpreter' in refused
    assert 'threads or processes' in refused
    assert 'WSGIApplicationGroup %{GLOBAL}' in refused
    assert (is_loaded, caught) == ('False', 'caught')
