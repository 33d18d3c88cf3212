# The commands of the project; `make` alone lists them. CONTRIBUTING.md says which one to use when.

CARGO ?= cargo
PYTHON ?= python3
export PYTHON

# Servers that the tests start stand where only administrators look.
export PATH := $(PATH):/usr/sbin:/sbin

# All features of the client, and each alone.
FEATURES = rustls socks tracing async tokio tower test-util
ALL_FEATURES = --features dugong-net/rustls,dugong-net/socks,dugong-net/test-util,dugong-http/socks,dugong-http/tracing,dugong-http/tokio,dugong-http/tower,dugong-session/socks,dugong-session/tower

# With the feature that each item needs.
RUST_DOCS = RUSTDOC="$(CURDIR)/tools/rustdoc" RUSTDOCFLAGS="--cfg docsrs -D warnings" $(CARGO) doc --workspace --no-deps $(ALL_FEATURES)

.PHONY: help demo quick fmt test gate engines bench-engines chaos mirrors soak bench instructions baseline baseline-check docs wheel package deny manylinux install \
	clean setup setup-rust setup-lints setup-python setup-engines check unit python python-style python-types python-tests tools-tests installed peers

help:
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

demo: setup-rust ## fetch 2,000 documents one at a time, then pipelined; needs Rust alone
	$(CARGO) build --release -p dugong-cli --bins --examples
	$(CARGO) run --quiet --release -p dugong-cli --example demo

quick: setup-lints ## while you write: formatting, clippy, the core's and client's tests that need no servers
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --quiet --workspace --all-targets $(ALL_FEATURES) -- -D warnings
	$(CARGO) test --quiet --workspace $(ALL_FEATURES) --lib $(addprefix --test ,$(QUICK_TESTS))

# Files of tests that start no server and end within seconds.
QUICK_TESTS = blocking details messages odd_calls pipeline split steps tables to_proxy transcripts two_threads verdicts

fmt: setup-lints ## format Rust and Python
	$(CARGO) fmt --all
	for folder in $(PYTHON_FOLDERS); do \
		(cd $$folder && "$(CURDIR)/target/venv/bin/ruff" format --quiet .) || exit 1; \
	done

fmt: target/venv/ready

test: setup ## all checks and tests; on Debian or Ubuntu, root need not install anything before
	@tools/stages check unit python

gate: setup ## make test, and everything that is given to others: what .ci/run runs, in less than 20 minutes on two cores
	@tools/stages check unit python-style python-types python-tests baseline-check docs wheel

# What a machine needs, and how it gets it: tools/setup.
setup:
	@tools/setup

setup-rust:
	@tools/setup rust

setup-lints:
	@tools/setup rust lints

setup-python:
	@tools/setup rust python

check: setup-lints ## part of make test: formatting, floors, clippy with each feature alone, the documentation of the crates
	$(CARGO) fmt --all -- --check
	tools/floors
	$(CARGO) clippy --locked --workspace --all-targets $(ALL_FEATURES) -- -D warnings
	for feature in "" $(FEATURES); do \
		$(CARGO) clippy --quiet -p dugong-http --no-default-features --features "$$feature" -- -D warnings || exit 1; \
	done
	for feature in "" rustls socks test-util; do \
		$(CARGO) clippy --quiet -p dugong-net --no-default-features --features "$$feature" -- -D warnings || exit 1; \
	done
	for feature in "" rustls socks tokio tower; do \
		$(CARGO) clippy --quiet -p dugong-session --no-default-features --features "$$feature" -- -D warnings || exit 1; \
	done
	$(CARGO) clippy --quiet -p dugong-proto --features http -- -D warnings
	tools/public-api --check
	$(RUST_DOCS)

unit: setup peers ## part of make test: all tests in Rust
	$(CARGO) test --workspace $(ALL_FEATURES)

# Servers that Debian does not have, for tests: Bun's program without its installer, gunicorn, proxy.py and uvicorn.
BUN = @oven/bun-linux-$(if $(filter aarch64 arm64,$(shell uname -m)),aarch64,x64-baseline)@1.4.4

peers: target/peers/ready

target/peers/ready: crates/dugong-cli/tests/peers/requirements.txt Makefile
	mkdir -p target/peers
	npm install --silent --no-save --no-audit --no-fund --ignore-scripts --prefix target/peers $(BUN)
	ln -sf "$$(cd target/peers && echo node_modules/@oven/bun-*/bin/bun)" target/peers/bun
	$(PYTHON) -m venv target/peers/venv
	target/peers/venv/bin/python -m pip install --quiet --requirement crates/dugong-cli/tests/peers/requirements.txt
	touch target/peers/ready

python: setup python-style python-types python-tests ## part of make test: the Python package, on each version of Python that is found

PYTHON_FOLDERS = crates/dugong-python bench/python examples/engines examples/python tools/tests

python-style: setup-python target/venv/ready
	for folder in $(PYTHON_FOLDERS); do \
		(cd $$folder && "$(CURDIR)/target/venv/bin/ruff" check . && "$(CURDIR)/target/venv/bin/ruff" format --check .) || exit 1; \
	done
	target/venv/bin/python -m pytest -q -n 2 tools/tests

python-types: installed
	cd crates/dugong-python && ../../target/venv/bin/mypy
	cd crates/dugong-python && ../../target/venv/bin/stubtest --mypy-config-file pyproject.toml --allowlist stubtest-allowlist dugong
	cd crates/dugong-python && PATH="$(CURDIR)/target/venv/bin:$$PATH" pyright --project pyproject.toml
	PATH="$(CURDIR)/target/venv/bin:$$PATH" pyright --verifytypes dugong --ignoreexternal

python-tests: installed target/debug/dugong-origin
	DUGONG_ORIGIN="$(CURDIR)/target/debug/dugong-origin" crates/dugong-python/test-wheel target/wheels/*.whl target/venv/bin/python

# As `make unit` has built it: an example makes Cargo choose the features that tests need, too.
.PHONY: target/debug/dugong-origin
target/debug/dugong-origin:
	$(CARGO) build --quiet --workspace $(ALL_FEATURES) --bin dugong-origin --example fetch

# The package is checked and tested as it is installed from a wheel, and the wheel is made from the source distribution.
installed: setup-python target/wheels/ready

target/wheels/ready: target/venv/ready $(shell find Cargo.toml Cargo.lock pyproject.toml README.md LICENSE-* \
		crates/dugong-proto crates/dugong-net crates/dugong-http crates/dugong-session crates/dugong-python \
		-type f -not -path '*/tests/*' -not -path '*/examples/*' -not -path '*/_build/*' -not -path '*/.*' -not -name '*.pyc' -not -name '*.so' \
		2>/dev/null)
	rm -rf target/wheels
	target/venv/bin/maturin sdist --out target/wheels
	rm -rf target/sdist && mkdir target/sdist
	# Files in it are of 2006, so Cargo would not notice that they have changed.
	tar --extract --touch --strip-components=1 --directory target/sdist --file target/wheels/*.tar.gz
	cd target/sdist && CARGO_TARGET_DIR="$(CURDIR)/target" ../venv/bin/maturin build --quiet --release \
		--interpreter "$(CURDIR)/target/venv/bin/python" --out ../wheels
	target/venv/bin/python -m pip install --quiet --no-index --no-deps --force-reinstall target/wheels/*.whl
	touch target/wheels/ready

target/venv/ready: crates/dugong-python/requirements-dev.txt crates/dugong-python/requirements-test.txt
	$(PYTHON) -m venv target/venv
	target/venv/bin/python -m pip install --quiet --requirement crates/dugong-python/requirements-dev.txt
	touch target/venv/ready

wheel: installed ## the Python package as wheel and source distribution, in dist
	mkdir -p dist
	cp target/wheels/*.whl target/wheels/*.tar.gz dist

docs: target/venv-docs/ready installed ## the documentation: of the Python package in docs/_build, of the crates in target/doc
	$(RUST_DOCS)
	target/venv-docs/bin/python -m pip install --quiet --no-index --no-deps --force-reinstall target/wheels/*.whl
	target/venv-docs/bin/sphinx-build --quiet -W --keep-going -b html docs docs/_build

target/venv-docs/ready: docs/requirements.txt
	$(PYTHON) -m venv target/venv-docs
	target/venv-docs/bin/python -m pip install --quiet --requirement docs/requirements.txt
	touch target/venv-docs/ready

# Each is built from its package, with those before it in place of a registry's.
PUBLISHED = dugong-proto dugong-net dugong-http dugong-session dugong-cli

package: setup-rust ## the crates as they are published, in target/package
	$(CARGO) package $(addprefix -p ,$(PUBLISHED))

deny: setup-rust target/tools/bin/cargo-deny ## licences, sources and duplicates of all dependencies; advisories need a network: see RELEASING.md
	target/tools/bin/cargo-deny --all-features check --hide-inclusion-graph bans licenses sources

target/tools/bin/cargo-deny:
	$(CARGO) install --quiet --locked --root target/tools --debug --version 0.20.2 cargo-deny

manylinux: setup-python target/venv-wheel/ready ## a wheel for any Linux with glibc 2.17 or newer, in dist
	rm -rf target/manylinux
	PATH="$(CURDIR)/target/venv-wheel/bin:$$PATH" CARGO_TARGET_DIR="$(CURDIR)/target" target/venv-wheel/bin/maturin build --locked --release --zig \
		--compatibility manylinux2014 --interpreter target/venv-wheel/bin/python --out target/manylinux
	target/venv-wheel/bin/auditwheel show target/manylinux/*.whl | grep -A1 consistent | grep '^"manylinux_2_17_$(shell uname -m)"'
	target/venv-wheel/bin/abi3audit --strict --report target/manylinux/*.whl
	mkdir -p dist
	cp target/manylinux/*.whl dist

target/venv-wheel/ready: tools/requirements-wheel.txt
	$(PYTHON) -m venv target/venv-wheel
	target/venv-wheel/bin/python -m pip install --quiet --requirement tools/requirements-wheel.txt
	touch target/venv-wheel/ready

CONNECTOR = cd crates/dugong-object-store && CARGO_TARGET_DIR="$(CURDIR)/target/engines" $(CARGO)
ENGINES = cd examples/engines && CARGO_TARGET_DIR="$(CURDIR)/target/engines" $(CARGO)

setup-engines:
	@tools/setup rust lints python servers engines

engines: setup-engines installed target/venv-engines/ready ## the connectors under their hosts: the hosts' own suites against real servers, and engines; half an hour
	$(CONNECTOR) fmt -- --check
	$(CONNECTOR) clippy --quiet --all-targets -- -D warnings
	$(CONNECTOR) clippy --quiet --no-default-features --features object_store_0_13 -- -D warnings
	export DUGONG_MOTO_SERVER="$(CURDIR)/target/venv/bin/moto_server" && $(CONNECTOR) test --quiet --features object_store_0_13
	tools/host-suites --wheel target/wheels/*.whl
	$(ENGINES) fmt --all -- --check
	$(ENGINES) clippy --quiet --workspace --all-targets -- -D warnings
	$(ENGINES) build --quiet --workspace
	$(CARGO) build --quiet -p dugong-origin
	target/venv-engines/bin/python examples/engines/run.py target/engines/debug target/debug/dugong-origin

bench-engines: setup-engines target/venv-engines/ready ## the connectors beside the HTTP clients of their hosts; the first time, half an hour to build
	$(ENGINES) build --quiet --workspace
	target/engines/debug/bench-engines target/venv-engines/bin/python

target/venv-engines/ready: examples/engines/requirements.txt target/wheels/ready
	$(PYTHON) -m venv target/venv-engines
	target/venv-engines/bin/python -m pip install --quiet --requirement examples/engines/requirements.txt
	target/venv-engines/bin/python -m pip install --quiet --no-index --no-deps --force-reinstall target/wheels/*.whl
	touch target/venv-engines/ready

chaos: export DUGONG_CHAOS_SECONDS ?= 150
chaos: export DUGONG_CHAOS_SEED ?= $(shell date +%s)
chaos: setup installed ## every way to use a connection against a server that does harm, for ten minutes; DUGONG_CHAOS_SEED repeats a run
	@echo "DUGONG_CHAOS_SEED=$(DUGONG_CHAOS_SEED)"
	$(CARGO) test --release $(ALL_FEATURES) -p dugong-http --test chaos
	$(CARGO) test --release $(ALL_FEATURES) -p dugong-http --test tokio chaos::
	$(CARGO) test --release -p dugong-session --test chaos
	$(CARGO) test --release -p dugong-cli --test it chaos::
	$(CARGO) build --release -p dugong-origin
	cd crates/dugong-python && DUGONG_ORIGIN="$(CURDIR)/target/release/dugong-origin" \
		../../target/venv/bin/python -m pytest -q -n 3 -o pythonpath=tests tests/test_chaos.py tests/test_connectors_chaos.py
	cd crates/dugong-python && DUGONG_S3_OBJECTS=5000 ../../target/venv/bin/python -m pytest -q -n 3 -o pythonpath=tests \
		tests/test_session_s3.py

mirrors: setup ## 100,000 files from nginx, Apache, Caddy, HAProxy and node, each of them right; a few minutes
	DUGONG_MIRROR_URLS=100000 $(CARGO) test --release -p dugong-cli --test it mirrors::

soak: setup-rust ## a session works for ten minutes, and its memory must not grow
	$(CARGO) build --release --no-default-features -p dugong-origin -p dugong-bench
	target/release/dugong-bench soak

bench: setup installed target/venv-bench/ready target/venv-bench-old/ready ## the benchmark beside other clients, with instruction counts, and the command line beside curl, aria2c, wrk and oha; twelve minutes
	$(CARGO) build --release -p dugong-origin -p dugong-bench
	target/venv-bench/bin/python -m pip install --quiet --no-index --no-deps --force-reinstall target/wheels/*.whl
	target/release/dugong-bench table --instructions
	$(CARGO) build --release -p dugong-cli
	$(PYTHON) bench/python/command_line.py

instructions: setup installed target/venv-bench/ready ## what a request costs: instructions, system calls, memory; five minutes
	$(CARGO) build --release -p dugong-origin -p dugong-bench
	target/venv-bench/bin/python -m pip install --quiet --no-index --no-deps --force-reinstall target/wheels/*.whl
	target/release/dugong-bench counts

# With other versions of rustc, Python or valgrind than those of the baseline, the check prints the counts and does not fail.
BASELINE = $(CARGO) build --release --no-default-features -p dugong-origin -p dugong-bench && \
	target/release/dugong-bench counts --python target/venv/bin/python

baseline-check: setup installed ## part of the gate: fail if a request costs 5 % more instructions than in bench/baseline.json
	$(BASELINE) --check bench/baseline.json

baseline: setup installed ## write bench/baseline.json anew
	$(BASELINE) --write bench/baseline.json

target/venv-bench/ready: bench/requirements.txt
	$(PYTHON) -m venv target/venv-bench
	target/venv-bench/bin/python -m pip install --quiet --requirement bench/requirements.txt
	touch target/venv-bench/ready

target/venv-bench-old/ready: bench/requirements-old.txt
	$(PYTHON) -m venv target/venv-bench-old
	target/venv-bench-old/bin/python -m pip install --quiet --requirement bench/requirements-old.txt
	touch target/venv-bench-old/ready

PREFIX ?= /usr/local
SHARE = $(DESTDIR)$(PREFIX)/share

install: setup-rust ## the command line, its man pages and completions, below PREFIX (/usr/local); DESTDIR is put before it
	$(CARGO) build --quiet --release --locked -p dugong-cli
	install -d $(DESTDIR)$(PREFIX)/bin $(SHARE)/bash-completion/completions $(SHARE)/zsh/site-functions $(SHARE)/fish/vendor_completions.d
	install -m 755 target/release/dugong $(DESTDIR)$(PREFIX)/bin/dugong
	target/release/dugong man $(SHARE)/man/man1
	target/release/dugong completions bash > $(SHARE)/bash-completion/completions/dugong
	target/release/dugong completions zsh > $(SHARE)/zsh/site-functions/_dugong
	target/release/dugong completions fish > $(SHARE)/fish/vendor_completions.d/dugong.fish

clean: ## remove everything that was built
	$(CARGO) clean
	rm -rf dist docs/_build
