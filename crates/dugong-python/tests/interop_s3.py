"""The S3 application of moto, in a process of its own, under a server that keeps connections open.

Called as `python interop_s3.py cheroot|waitress`. It prints its port, and ends when its standard input does.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from typing import Any


def application() -> Any:
    moto = importlib.import_module('moto.moto_server.werkzeug_app')
    return moto.DomainDispatcherApplication(moto.create_backend_app)


def end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


def main(kind: str) -> None:
    threading.Thread(target=end_with_input, daemon=True).start()
    if kind == 'cheroot':
        server = importlib.import_module('cheroot.wsgi').Server(('127.0.0.1', 0), application(), numthreads=4)
        server.prepare()
        print(server.bind_addr[1], flush=True)
        server.serve()
    else:
        waitress = importlib.import_module('waitress.server')
        server = waitress.create_server(application(), host='127.0.0.1', port=0, threads=4)
        print(server.effective_port, flush=True)
        server.run()


if __name__ == '__main__':
    main(sys.argv[1])
