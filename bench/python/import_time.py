"""How long a fresh interpreter takes to import a module: `import_time.py MODULE` prints milliseconds, and its version."""

import sys
from time import perf_counter

start = perf_counter()
__import__(sys.argv[1])
took = perf_counter() - start
version = getattr(sys.modules[sys.argv[1]], '__version__', None) or getattr(sys.modules[sys.argv[1]], 'version', '')
print(f'{{"ms":{took * 1e3:.3f},"version":"{version}"}}')
