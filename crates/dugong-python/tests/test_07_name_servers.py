"""Statement 7.7: names without an address, and name servers with every kind of answer, each in a network of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import dugong

#: Runs in the network: prints the outcome of connecting to a name, for each way to connect.
PROGRAM = """
import asyncio, os, socket, subprocess, sys, threading
import dugong

code, resolv_conf, assigned = sys.argv[1:4]
subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)
for name, content in [
    ('resolv.conf', resolv_conf),
    ('hosts', '127.0.0.1 known.example\\n'),
    ('nsswitch.conf', 'hosts: files dns\\n'),
]:
    with open(name, 'w') as file:
        file.write(content)
    subprocess.run(['mount', '--bind', name, f'/etc/{name}'], check=True)
if os.path.isdir('/run/nscd'):
    subprocess.run(['mount', '-t', 'tmpfs', 'none', '/run/nscd'], check=True)

asked = set()

def serve(sock):
    while True:
        question, client = sock.recvfrom(4096)
        name, at = [], 12
        while length := question[at]:
            name.append(question[at + 1 : at + 1 + length].decode())
            at += 1 + length
        asked.add('.'.join(name))
        if code == 'silent':
            continue
        rcode = {'NODATA': 0, 'SERVFAIL': 2, 'NXDOMAIN': 3, 'REFUSED': 5}[code]
        header = question[:2] + bytes([0x81, 0x80 | rcode]) + question[4:6] + bytes(6)
        sock.sendto(header + question[12 : at + 5], client)

if code != 'none':
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(('127.0.0.1', 53))
    threading.Thread(target=serve, args=(sock,), daemon=True).start()
if assigned:
    dugong.DNS_TEST_HOSTNAMES = [(assigned, 80)]

def regular():
    dugong.HTTPConnection('some.name.example').connect()

def driven():
    dugong.eval_coroutine(dugong.HTTPConnection('some.name.example').co_connect())

def awaited():
    async def main():
        await dugong.HTTPConnection('some.name.example').co_connect()

    asyncio.run(main())

def directly():
    dugong.create_socket(('some.name.example', 80))

for call in (regular, driven, awaited, directly):
    try:
        call()
    except Exception as exc:
        print(type(exc).__name__, exc.name, dugong.is_temp_network_error(exc))
print('asked for', *sorted(asked))
"""

SERVER = 'search .\nnameserver 127.0.0.1\noptions timeout:1 attempts:1\n'


def outcome(tmp_path: Path, code: str, resolv_conf: str = SERVER, assigned: str = '') -> list[str]:
    command = ['unshare', '--net', '--mount', *([] if os.getuid() == 0 else ['--user', '--map-root-user'])]
    environment = {
        **os.environ,
        'PATH': f'{os.environ["PATH"]}:/usr/sbin:/sbin',
        'PYTHONPATH': str(Path(dugong.__path__[0]).parent),
    }
    for variable in 'LOCALDOMAIN', 'RES_OPTIONS':
        environment.pop(variable, None)
    done = subprocess.run(
        [*command, sys.executable, '-c', PROGRAM, code, resolv_conf, assigned],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize('code', ['REFUSED', 'SERVFAIL', 'silent', 'none'])
def test_7_7_name_servers_that_do_not_tell_are_no_name_service(tmp_path: Path, code: str) -> None:
    *outcomes, asked = outcome(tmp_path, code)
    assert outcomes == ['DNSUnavailable some.name.example True'] * 4
    assert asked.split()[2:] == ([] if code == 'none' else ['some.name.example'])


@pytest.mark.parametrize('code', ['NXDOMAIN', 'NODATA'])
def test_7_7_name_servers_that_deny_a_name_are_believed(tmp_path: Path, code: str) -> None:
    *outcomes, asked = outcome(tmp_path, code)
    assert outcomes == ['HostnameNotResolvable some.name.example False'] * 4
    # The test hosts are not looked up.
    assert asked == 'asked for some.name.example'


def test_7_7_without_name_servers_the_names_of_others_are_asked_for(tmp_path: Path) -> None:
    # The C library asks this machine then.
    *outcomes, asked = outcome(tmp_path, 'NXDOMAIN', 'search .\n')
    assert outcomes == ['DNSUnavailable some.name.example True'] * 4
    assert asked == 'asked for C.root-servers.org some.name.example www.google.com www.iana.org'


@pytest.mark.parametrize(('name', 'error'), [('known.example', 'HostnameNotResolvable'), ('other', 'DNSUnavailable')])
def test_7_7_a_program_that_assigns_names_has_these_asked_for(tmp_path: Path, name: str, error: str) -> None:
    *outcomes, asked = outcome(tmp_path, 'SERVFAIL', assigned=name)
    assert [line.split()[0] for line in outcomes] == [error] * 4
    assert asked.split()[2:] == sorted({'some.name.example'} | ({name} if name == 'other' else set()))
