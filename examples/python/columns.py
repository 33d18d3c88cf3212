"""Read columns of a Parquet file that stays on its server: only the parts that hold them are fetched.

Needs pyarrow.

    $ python columns.py http://localhost:9000/trips.parquet distance
    100000 rows, distance: 0 to 99999
"""

import sys
from urllib.parse import urlsplit

import pyarrow.compute
import pyarrow.parquet

import dugong


def main(url: str, *columns: str) -> None:
    parts = urlsplit(url)
    with dugong.Session(f'{parts.scheme}://{parts.netloc}') as session, session.open(parts.path) as file:
        table = pyarrow.parquet.read_table(file, columns=list(columns))
    for name in columns:
        least, most = pyarrow.compute.min_max(table[name]).as_py().values()
        print(f'{table.num_rows} rows, {name}: {least} to {most}')


if __name__ == '__main__':
    main(*sys.argv[1:])
