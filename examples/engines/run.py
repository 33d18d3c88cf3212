"""Run all examples against servers on this machine, and check what they print: `make engines`.

python run.py PROGRAMS ORIGIN      the folder of the examples in Rust, and the program dugong-origin
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

import dugong
import dugong.fsspec

HERE = Path(__file__).parent
QUERY = (
    'SELECT station, count(*) AS readings, sum(value) AS total FROM t '
    'WHERE value >= 100 GROUP BY station ORDER BY station'
)
# Seconds for one example.
LIMIT = 120


def main(programs: str, origin_program: str) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        files = Path(temporary) / 'files'
        expected = make_files(files, count=200, rows=500)
        with moto() as store:
            fill(store, files)
            bucket = 's3://readings/'
            check('sql', [f'{programs}/sql', bucket, QUERY], expected, store)
            check('ballista', [f'{programs}/ballista', bucket, QUERY], expected, store)
            mirror = Path(temporary) / 'mirror'
            for fetched in 220, 0:
                check('mirror', [f'{programs}/mirror', bucket, str(mirror)], [[fetched]], store)
            compare(files, mirror)
        with origin(origin_program, files) as url:
            check('arrow_dataset.py', [sys.executable, str(HERE / 'arrow_dataset.py'), url], expected)
            check('dask_tables.py', [sys.executable, str(HERE / 'dask_tables.py'), url], expected * 2)


def make_files(folder: Path, *, count: int, rows: int) -> list[list[int]]:
    """Write `count` files of Parquet, and their rows also into 20 of CSV. Return what the query finds."""
    folder.mkdir()
    choose = random.Random(0)
    tables = [
        pa.table(
            {
                'station': [choose.randrange(10) for _ in range(rows)],
                'value': [choose.randrange(1000) for _ in range(rows)],
            }
        )
        for _ in range(count)
    ]
    for number, table in enumerate(tables):
        pyarrow.parquet.write_table(table, folder / f'{number:03}.parquet')
    for number in range(20):
        pyarrow.csv.write_csv(pa.concat_tables(tables[number::20]), folder / f'{number:03}.csv')
    values: dict[int, list[int]] = {}
    for table in tables:
        for row in table.to_pylist():
            if row['value'] >= 100:
                values.setdefault(row['station'], []).append(row['value'])
    return [[station, len(found), sum(found)] for station, found in sorted(values.items())]


@contextlib.contextmanager
def moto() -> Iterator[str]:
    """Serve S3, without checks of credentials."""
    with socket.create_server(('127.0.0.1', 0)) as free:
        port = free.getsockname()[1]
    server = Path(sys.executable).with_name('moto_server')
    process = subprocess.Popen([server, '--port', str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(('127.0.0.1', port)):
                break
            time.sleep(0.1)
        yield f'http://127.0.0.1:{port}'
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def origin(program: str, files: Path) -> Iterator[str]:
    """Serve `files` over HTTP."""
    command = [program, '--files', str(files), '--until-stdin-closes']
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        yield f'http://{address}/files/'
        process.stdin.close()


def fill(store: str, files: Path) -> None:
    """Make a bucket, and put all files into it; those of CSV into a folder, where no query looks."""
    with dugong.Session(store) as session:
        session.request('PUT', '/readings').raise_for_status()
    system = dugong.fsspec.FileSystem()
    for file in sorted(files.iterdir()):
        folder = '' if file.suffix == '.parquet' else 'csv/'
        system.pipe_file(f'{store}/readings/{folder}{file.name}', file.read_bytes())


def check(name: str, command: list[str], expected: list[list[int]], store: str = '') -> None:
    """Run an example, and compare the numbers in each line that has any."""
    variables = {
        'AWS_ENDPOINT': store,
        'AWS_ALLOW_HTTP': 'true',
        'AWS_ACCESS_KEY_ID': 'test',
        'AWS_SECRET_ACCESS_KEY': 'test',
        'AWS_REGION': 'us-east-1',
    }
    start = time.monotonic()
    printed = subprocess.run(
        command, env=os.environ | variables, stdout=subprocess.PIPE, text=True, check=True, timeout=LIMIT
    ).stdout
    found = [numbers for line in printed.splitlines() if (numbers := [int(n) for n in re.findall(r'\d+', line)])]
    if found != expected:
        sys.exit(f'{name}: expected {expected}, but it printed:\n{printed}')
    print(f'{name}: right, {time.monotonic() - start:.1f} s', flush=True)


def compare(files: Path, mirror: Path) -> None:
    found = {file.name: file.read_bytes() for file in mirror.rglob('*') if file.is_file()}
    if found != {file.name: file.read_bytes() for file in files.iterdir()}:
        sys.exit('mirror: the folder is not like the bucket')


if __name__ == '__main__':
    main(*sys.argv[1:])
