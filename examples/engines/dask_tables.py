"""Read Parquet and CSV over HTTP in two processes, with Dask.

    $ pip install 'dugong[fsspec]' 'dask[dataframe]' distributed pyarrow
    $ python examples/engines/dask_tables.py https://www.example.org/readings/

Below the URL are `*.parquet` and `*.csv`, with the columns `station` and `value`; its page has links to them. For both
kinds of files, it prints for each station how many values are 100 or more, and their sum.
"""

from __future__ import annotations

import sys

import dask.dataframe
from distributed import Client, LocalCluster


def main(url: str) -> None:
    # Each process has connections of its own: two for each origin.
    options = {'connections': 2}
    with (
        LocalCluster(n_workers=2, threads_per_worker=2, processes=True, dashboard_address=None) as cluster,
        Client(cluster),
    ):
        for table in (
            dask.dataframe.read_parquet(f'dugong+{url}*.parquet', storage_options=options),
            dask.dataframe.read_csv(f'dugong+{url}*.csv', storage_options=options),
        ):
            values = table[table['value'] >= 100].groupby('station')['value']
            print(values.agg(['count', 'sum'], split_out=1).compute().sort_index().to_string(header=False))


# The worker processes import this file, too.
if __name__ == '__main__':
    main(sys.argv[1])
