"""Measure the program dugong beside curl, aria2c, wrk and oha, and print tables in Markdown.

All servers are dugong-origin on the first core; the programs run on the second. Programs that are not
installed are left out. Costs are compared within a round, and the tables have the medians.
"""

import argparse
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

PROGRAMS = Path(__file__).parents[2] / 'target' / 'release'
DUGONG = str(PROGRAMS / 'dugong')
CORES = sorted(os.sched_getaffinity(0))
# curl, aria2c and dugong have as many.
CONNECTIONS = 4
# The percentiles that a row of latencies has.
PERCENTILES = ('50', '90', '95', '99.9')


class Cost(NamedTuple):
    """Seconds of a run."""

    wall: float
    cpu: float


@contextmanager
def origin(*options: str) -> Iterator[str]:
    """Run a server, and give its URL."""
    command = [*on_core(0), str(PROGRAMS / 'dugong-origin'), '--until-stdin-closes', *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        yield 'http://' + server.stdout.readline().removeprefix('listening on ').strip()
        server.stdin.close()


def on_core(index: int) -> list[str]:
    """The begin of a command that has one core, if there are two."""
    return ['taskset', '-c', str(CORES[index])] if len(CORES) > 1 else []


def run(command: list[str]) -> tuple[Cost, str]:
    """Run a program, and return its costs and its output."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        [*on_core(1), *command], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    wall, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        sys.exit(f'{command[:3]} failed with {done.returncode}: {done.stderr[-500:]}')
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime), done.stdout


def many(name: str, url: str, count: int, delay: int, place: Path) -> Cost:
    """Fetch many small files into a fresh directory."""
    # None is removed before the end: ext4 searches long for a new file where many were removed.
    place = Path(tempfile.mkdtemp(dir=place))
    urls = [f'{url}/bytes/4096?n={number}&delay={delay}' for number in range(count)]
    file = place.with_suffix('.list')
    if name == 'curl':
        file.write_text(''.join(f'url = "{url}"\noutput = "{place}/{number}"\n' for number, url in enumerate(urls)))
        command = ['curl', '-s', '--parallel', '--parallel-max', str(CONNECTIONS), '-K', str(file)]
    elif name == 'aria2c':
        file.write_text(''.join(f'{url}\n  out={number}\n' for number, url in enumerate(urls)))
        command = [
            'aria2c',
            '-q',
            '-d',
            str(place),
            '-j',
            str(CONNECTIONS),
            '-x',
            '1',
            '--file-allocation=none',
            '-i',
            str(file),
        ]
    else:
        file.write_text(''.join(f'{url}\n' for url in urls))
        command = [DUGONG, 'get', '--connections', str(CONNECTIONS), '--dir', str(place), '-i', str(file)]
    cost, _ = run(command)
    found = sum(1 for _ in place.iterdir())
    if found != count:
        sys.exit(f'{name} wrote {found} of {count} files')
    return cost


def large(name: str, url: str, size: int, place: Path) -> Cost:
    """Fetch one large file."""
    file = place / 'large'
    command = ['curl', '-s', '-o'] if name == 'curl' else [DUGONG, 'get', '-o']
    cost, _ = run([*command, str(file), f'{url}/bytes/{size}'])
    if file.stat().st_size != size:
        sys.exit(f'{name} wrote {file.stat().st_size} of {size} bytes')
    file.unlink()
    return cost


class Load(NamedTuple):
    """What a load generator says of its run."""

    rate: float
    cpu: float


def load(name: str, url: str, seconds: int, depth: int = 1) -> Load:
    """Measure a server with 64 connections."""
    if name == 'wrk':
        cost, text = run(['wrk', '-t1', '-c64', f'-d{seconds}s', f'{url}/small'])
        found = re.search(r'(\d+) requests in', text)
        assert found
        count = int(found[1])
        return Load(count / seconds, cost.cpu / count)
    command = [DUGONG, 'bench', '--json', '-c', '64', '--depth', str(depth), '-t', str(seconds), f'{url}/small']
    cost, text = run(command)
    result = json.loads(text)
    return Load(result['requests_per_second'], cost.cpu / result['requests'])


def latencies(name: str, url: str, rate: int, seconds: int) -> dict[str, float]:
    """The percentiles, in milliseconds, at a constant rate."""
    if name == 'oha':
        form = ['--no-tui', '--output-format', 'json', '--latency-correction']
        _, text = run(['oha', *form, '-c', '50', '-q', str(rate), '-z', f'{seconds}s', f'{url}/small'])
        found = json.loads(text)['latencyPercentiles']
        return {name: found[f'p{name}'] * 1e3 for name in PERCENTILES}
    rated = ['--rate', str(rate), '-t', str(seconds), '--warm-up', '0.5']
    _, text = run([DUGONG, 'bench', '--json', '-c', '50', *rated, f'{url}/small'])
    return {name: json.loads(text)['latency_ms'][name] for name in PERCENTILES}


def verdict(what: str, value: float, limit: float, *, at_least: bool) -> None:
    """Print a goal and what came of it."""
    is_met = value >= limit if at_least else value <= limit
    print(
        f'| {what} | {">=" if at_least else "<="} {limit} | {value:.2f} | {"met" if is_met else "missed"} |', flush=True
    )


def ratio(rounds: list[dict[str, Cost]], of: str, to: str, cost: Callable[[Cost], float]) -> float:
    """The median of the ratios of two programs' costs."""
    return statistics.median(cost(costs[of]) / cost(costs[to]) for costs in rounds)


def compare_fetching(place: Path, rounds: int, count: int, size: int) -> None:
    """Measure get."""
    names = ['dugong', *(name for name in ('curl', 'aria2c') if shutil.which(name))]
    with origin() as url:
        for delay in (5, 0):
            costs = [{name: many(name, url, count, delay, place) for name in names} for _ in range(rounds)]
            for name in names[1:]:
                if delay:
                    rate = 1 / ratio(costs, 'dugong', name, lambda cost: cost.wall)
                    verdict(f'{count} files of 4 KiB, {delay} ms away: rate x {name}', rate, 3, at_least=True)
                else:
                    cpu = ratio(costs, 'dugong', name, lambda cost: cost.cpu)
                    verdict(f'{count} files of 4 KiB: CPU x {name}', cpu, 0.5, at_least=False)
        if 'curl' in names:
            costs = [{name: large(name, url, size, place) for name in ('dugong', 'curl')} for _ in range(rounds)]
            what = f'a file of {size >> 20} MiB'
            verdict(f'{what}: time x curl', ratio(costs, 'dugong', 'curl', lambda cost: cost.wall), 1.1, at_least=False)
            verdict(f'{what}: CPU x curl', ratio(costs, 'dugong', 'curl', lambda cost: cost.cpu), 1.0, at_least=False)


def compare_loads(rounds: int, seconds: int) -> None:
    """Measure bench without and with pipelining."""
    if not shutil.which('wrk'):
        print('wrk is not installed, so its rows are left out', file=sys.stderr)
        return
    with origin() as url:
        found = [
            (load('wrk', url, seconds), load('dugong', url, seconds), load('dugong', url, seconds, 32))
            for _ in range(rounds)
        ]
    median = statistics.median
    verdict('bench: rate x wrk', median(ours.rate / wrk.rate for wrk, ours, _ in found), 0.9, at_least=True)
    verdict('bench: CPU per request x wrk', median(ours.cpu / wrk.cpu for wrk, ours, _ in found), 1.0, at_least=False)
    verdict('bench --depth 32: rate x wrk', median(deep.rate / wrk.rate for wrk, _, deep in found), 5, at_least=True)


def compare_latencies(seconds: int) -> None:
    """Measure the latencies of a server whose delays are known: one of 100 answers takes 100 ms, the others 5."""
    wanted = {'50': 5.0, '90': 5.0, '95': 5.0, '99.9': 100.0}
    with origin('--delay=5ms', '--slow-one-in=100', '--slow-delay=100ms') as url:
        ours = latencies('dugong', url, 500, seconds)
        for name, delay in wanted.items():
            # Within 2 % or 0.2 ms, whichever is more.
            error = abs(ours[name] - delay) / max(delay * 0.02, 0.2)
            verdict(
                f'bench --rate: {name} % is {ours[name]:.2f} ms of {delay:.0f}; error / allowed',
                error,
                1,
                at_least=False,
            )
        if not shutil.which('oha'):
            print('oha is not installed, so its rows are left out', file=sys.stderr)
            return
        theirs = latencies('oha', url, 500, seconds)
        for name in wanted:
            error = abs(ours[name] - theirs[name]) / max(theirs[name] * 0.02, 0.2)
            verdict(
                f'bench --rate: {name} % beside {theirs[name]:.2f} ms of oha; error / allowed', error, 1, at_least=False
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true', help='less of everything')
    parser.add_argument('--only', choices=['get', 'load', 'latency'], help='one of the tables')
    parser.add_argument('--place', help='where files are written')
    flags = parser.parse_args()
    rounds, count, size, seconds = (1, 2000, 256 << 20, 2) if flags.quick else (3, 10_000, 3 << 30, 5)
    print('| wanted of the command line | limit | measured | |\n|---|---:|---:|---|', flush=True)
    if flags.only in (None, 'get'):
        with tempfile.TemporaryDirectory(dir=flags.place) as directory:
            compare_fetching(Path(directory), rounds, count, size)
    if flags.only in (None, 'load'):
        compare_loads(rounds, seconds)
    if flags.only in (None, 'latency'):
        compare_latencies(2 * seconds)


if __name__ == '__main__':
    main()
