"""Scan Parquet files over HTTP as one dataset, with pyarrow.

    $ pip install 'dugong[fsspec]' pyarrow
    $ python examples/engines/arrow_dataset.py https://www.example.org/readings/

The page at the URL has links to `*.parquet` with the columns `station` and `value`. It prints for each station how many
values are 100 or more, and their sum.
"""

from __future__ import annotations

import sys

import pyarrow.dataset
from pyarrow.fs import FSSpecHandler, PyFileSystem

import dugong.fsspec


def main(url: str) -> None:
    files = dugong.fsspec.FileSystem()
    paths = files.glob(f'{url}*.parquet')
    dataset = pyarrow.dataset.dataset(paths, format='parquet', filesystem=PyFileSystem(FSSpecHandler(files)))
    table = dataset.to_table(columns=['station', 'value'], filter=pyarrow.dataset.field('value') >= 100)
    totals = table.group_by('station').aggregate([('value', 'count'), ('value', 'sum')]).sort_by('station')
    for row in totals.to_pylist():
        print(row['station'], row['value_count'], row['value_sum'])


if __name__ == '__main__':
    main(sys.argv[1])
