"""Runs `tools/setup` and `make test` as on a fresh machine, on which PATH leads to one folder of links and scripts."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# What every machine has.
BASICS = ['bash', 'cat', 'chmod', 'cp', 'date', 'dirname', 'env', 'expand', 'find', 'grep', 'mkdir', 'rm', 'sed', 'sh']
BASICS += ['sort', 'touch', 'tr', 'uname']
RUST = ['make', 'cc', 'cargo', 'rustc']
SERVERS = ['nginx', 'openssl', 'stunnel4', 'tinyproxy', 'squid', 'danted', 'dnsmasq', 'php', 'g++', 'npm', 'valgrind']
SERVERS += ['apache2', 'haproxy', 'caddy', 'node', 'ip', 'unshare', 'mount']
PACKAGES = {
    'apache2': 'apache2-bin',
    'cc': 'gcc libc6-dev',
    'danted': 'dante-server',
    'dnsmasq': 'dnsmasq-base',
    'ip': 'iproute2',
    'nginx': 'nginx-light',
    'node': 'nodejs',
    'php': 'php-cli',
    'tinyproxy': 'tinyproxy-bin',
    'unshare': 'util-linux',
}


@dataclass
class Machine:
    """A machine with *programs*, each of them a script; its `apt-get` notes its arguments and runs `brings`."""

    folder: Path
    programs: list[str]
    user: int = 0
    system: str = 'ID=debian'
    python: str = '3.11'
    rust: str = '1.88.0'
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.bin = self.folder / 'bin'
        self.root = self.folder / 'root'
        self.log = self.folder / 'log'
        for folder in self.bin, self.root / 'etc', self.root / 'usr/sbin', self.root / 'usr/include':
            folder.mkdir(parents=True)
        (self.root / 'etc/os-release').write_text(f'{self.system}\n')
        for name in BASICS:
            found = shutil.which(name)
            assert found, name
            (self.bin / name).symlink_to(found)
        self.script('id', f'[ "$1" = -u ] && echo {self.user} || echo somebody')
        for name in self.programs:
            self.bring(name)

    def script(self, name: str, text: str) -> None:
        (self.bin / name).write_text(f'#!/bin/sh\n{text}\n')
        (self.bin / name).chmod(0o755)

    def bring(self, name: str) -> None:
        if name == 'make':
            found = shutil.which('make')
            assert found
            (self.bin / 'make').symlink_to(found)
        elif name == 'httplib.h':
            (self.root / 'usr/include/httplib.h').touch()
        elif name == 'python3':
            self.script(
                'python3', f'case "$2" in *version*) echo {self.python};; *ensurepip*) [ -e {self.folder}/venv ];; esac'
            )
        elif name == 'venv':
            (self.folder / 'venv').touch()
        elif name == 'rustc':
            self.script('rustc', f'echo "rustc {self.rust} (0 2025-01-01)"')
        elif name == 'apt-get':
            policy = f'{self.root}/usr/sbin/policy-rc.d'
            self.script(
                'apt-get',
                f'echo "apt-get $*" >>{self.log}; [ ! -x {policy} ] || echo held >>{self.log}; . {self.folder}/brings',
            )
            (self.folder / 'brings').touch()
        else:
            self.script(name, f'echo "{name} $*" >>{self.log}')

    def run(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        env = {'PATH': str(self.bin), 'SETUP_ROOT': str(self.root), **self.environment, **environment}
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=60)

    def setup(self, *groups: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.run('tools/setup', *groups, **environment)

    def called(self, name: str) -> list[str]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line for line in lines if line.split()[0] == name]


EVERYTHING = [*RUST, *SERVERS, 'python3', 'venv', 'httplib.h', 'apt-get']


def without(*names: str) -> list[str]:
    return [name for name in EVERYTHING if name not in names]


def test_a_machine_that_has_everything_is_told_nothing(tmp_path: Path) -> None:
    done = Machine(tmp_path, EVERYTHING).setup()
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')


def test_everything_that_is_missing_is_listed_at_once(tmp_path: Path) -> None:
    machine = Machine(tmp_path, ['apt-get', 'cargo', 'rustc'])
    done = machine.setup(NO_INSTALL='1')
    assert done.returncode == 1
    listed = {line.split()[0] for line in done.stdout.splitlines() if line.startswith('  ')}
    assert listed >= {'make', 'cc', *SERVERS, 'python3', 'httplib.h'}
    assert machine.called('apt-get') == []


@pytest.mark.parametrize('name', [*SERVERS, 'cc', 'make', 'httplib.h', 'venv'])
def test_what_is_missing_stands_in_the_line_to_paste(name: str, tmp_path: Path) -> None:
    done = Machine(tmp_path, without(name), user=1000).setup()
    assert done.returncode == 1
    package = {'httplib.h': 'libcpp-httplib-dev', 'venv': 'python3-venv', 'tinyproxy': 'tinyproxy-bin'}.get(
        name
    ) or PACKAGES.get(name, name)
    line = f'  sudo apt-get update && sudo apt-get install --no-install-recommends {package}'
    assert line in done.stdout.splitlines()


def test_the_engines_need_more_than_the_tests(tmp_path: Path) -> None:
    machine = Machine(tmp_path, EVERYTHING)
    done = machine.setup('servers', 'engines', NO_INSTALL='1')
    assert done.returncode == 1
    assert '--no-install-recommends libnginx-mod-http-dav-ext\n' in done.stdout
    (machine.root / 'usr/lib/nginx/modules').mkdir(parents=True)
    (machine.root / 'usr/lib/nginx/modules/ngx_http_dav_ext_module.so').touch()
    assert machine.setup('servers', 'engines').stdout == ''


def test_no_install_prints_the_line_for_root(tmp_path: Path) -> None:
    done = Machine(tmp_path, without('squid', 'nginx')).setup(NO_INSTALL='1')
    assert done.returncode == 1
    assert '  apt-get update && apt-get install --no-install-recommends nginx-light squid' in done.stdout.splitlines()


@pytest.mark.parametrize('system', ['ID=debian', 'ID=ubuntu\nID_LIKE=debian', 'ID=mint\nID_LIKE="ubuntu debian"'])
def test_root_on_debian_gets_what_is_missing_and_no_service_is_started(system: str, tmp_path: Path) -> None:
    machine = Machine(tmp_path, without('squid', 'nginx'), system=system)
    (tmp_path / 'brings').write_text(
        f'[ "$1" = update ] || for name in nginx squid; do cp {machine.bin}/danted {machine.bin}/$name; done'
    )
    done = machine.setup()
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout.splitlines()
    assert said[-1] == 'Installing nginx-light squid (no service is started; NO_INSTALL=1 prevents this)'
    assert machine.called('apt-get') == [
        'apt-get update -qq',
        'apt-get install -y -qq --no-install-recommends nginx-light squid',
    ]
    assert machine.called('held') == ['held', 'held']
    assert not (machine.root / 'usr/sbin/policy-rc.d').exists()


def test_a_policy_of_the_machine_stays_as_it_is(tmp_path: Path) -> None:
    machine = Machine(tmp_path, without('squid'))
    (tmp_path / 'brings').write_text(f'cp {machine.bin}/danted {machine.bin}/squid')
    policy = machine.root / 'usr/sbin/policy-rc.d'
    policy.write_text('its own')
    assert machine.setup().returncode == 0
    assert policy.read_text() == 'its own'


def test_a_package_that_does_not_bring_its_program_is_an_error(tmp_path: Path) -> None:
    done = Machine(tmp_path, without('squid')).setup()
    assert done.returncode == 1
    assert 'They are still missing after this line:' in done.stdout


def test_elsewhere_the_packages_of_debian_are_a_hint(tmp_path: Path) -> None:
    machine = Machine(tmp_path, without('squid', 'apt-get'), system='ID=fedora')
    done = machine.setup()
    assert done.returncode == 1
    assert 'The last column names packages of Debian and Ubuntu' in done.stdout


@pytest.mark.parametrize(
    ('machine', 'hint'),
    [
        ({'programs': without('cargo')}, 'Rust 1.88 or newer: curl'),
        ({'programs': EVERYTHING, 'rust': '1.87.1'}, 'Rust 1.88 or newer (found 1.87): rustup update'),
        ({'programs': EVERYTHING, 'python': '3.9'}, 'Python 3.11 or newer (python3 is 3.9)'),
    ],
)
def test_what_no_package_brings_is_left_to_the_reader_and_nothing_is_installed(
    machine: dict[str, str], hint: str, tmp_path: Path
) -> None:
    fresh = Machine(tmp_path, **machine)  # type: ignore[arg-type]
    done = fresh.setup()
    assert done.returncode == 1
    assert hint in done.stdout
    assert fresh.called('apt-get') == []


def test_namespaces_that_users_may_not_make_are_named(tmp_path: Path) -> None:
    machine = Machine(tmp_path, EVERYTHING, user=1000)
    machine.script('unshare', 'exit 1')
    done = machine.setup()
    assert done.returncode == 1
    assert 'namespaces for tests: somebody may not make them here' in done.stdout


def test_a_group_asks_for_no_more_than_it_needs(tmp_path: Path) -> None:
    machine = Machine(tmp_path, RUST)
    assert machine.setup('rust').stdout == ''
    assert machine.setup('rust', 'python').returncode == 1


@pytest.mark.parametrize('goal', ['test', 'gate', 'unit'])
def test_make_builds_nothing_while_something_is_missing(goal: str, tmp_path: Path) -> None:
    machine = Machine(tmp_path, without('openssl', 'apt-get'), user=1000)
    done = machine.run('make', goal)
    assert done.returncode != 0
    assert 'Missing on this machine:\n  openssl ' in done.stdout
    assert [line for line in machine.called('cargo') if '--version' not in line] == []
    assert machine.called('npm') == []


def test_the_demo_needs_rust_alone(tmp_path: Path) -> None:
    machine = Machine(tmp_path, RUST)
    assert machine.run('make', 'demo').returncode == 0
    assert len(machine.called('cargo')) == 2


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which('setpriv'), reason='only root can become another user')
def test_another_user_is_not_root(tmp_path: Path) -> None:
    machine = Machine(tmp_path, without('squid'))
    machine.script('id', 'exec /usr/bin/id "$@"')
    for folder in (*tmp_path.parents, tmp_path):
        if folder.owner() == 'root' and folder.is_relative_to('/tmp/') and not folder.samefile('/tmp'):
            folder.chmod(0o755)
    setpriv = shutil.which('setpriv')
    assert setpriv
    done = machine.run(setpriv, '--reuid=65534', '--regid=65534', '--clear-groups', 'tools/setup', 'servers')
    assert done.returncode == 1, done.stderr
    assert 'sudo apt-get install --no-install-recommends squid' in done.stdout
