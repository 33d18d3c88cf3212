"""Measures an import: `import_time.py MODULE` prints milliseconds and a version."""

import sys
from time import perf_counter

start = perf_counter()
__import__(sys.argv[1])
took = perf_counter() - start
module = sys.modules[sys.argv[1]]
version = getattr(module, '__version__', None) or getattr(module, 'version', '')
print(f'{{"ms":{took * 1e3:.3f},"version":"{version}","python":"{sys.version.split()[0]}"}}')
