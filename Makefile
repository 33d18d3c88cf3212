# What a person types; the README explains the first two. `make -k` style switches work as usual.

CARGO ?= cargo
PYTHON ?= python3

.PHONY: help demo test chaos check unit peers python python-style python-types python-tests installed wheel bench docs clean

help:
	@echo "make demo   build, then fetch 2,000 documents one at a time and pipelined (needs Rust)"
	@echo "make test   all checks and tests (needs what the README lists); the package on Python 3.12 and 3.13, too, if found"
	@echo "make chaos  every way to use a connection against a server that does harm, for ten minutes"
	@echo "make wheel  the Python package as wheel and source distribution, in dist"
	@echo "make bench  the benchmark beside raw, httparse and Python clients (6 to 7 minutes; valgrind adds instruction counts)"
	@echo "make docs   the documentation: of the Python package in docs/_build, of the crates in target/doc"

demo:
	$(CARGO) build --release -p dugong-cli --bins --examples
	$(CARGO) run --quiet --release -p dugong-cli --example demo

test: check unit python

# With all features of the client, and with each alone.
FEATURES = rustls socks tracing async tokio tower
ALL_FEATURES = --features dugong-http/socks,dugong-http/tracing,dugong-http/tokio,dugong-http/tower

check:
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets $(ALL_FEATURES) -- -D warnings
	for feature in "" $(FEATURES); do \
		$(CARGO) clippy -p dugong-http --no-default-features --features "$$feature" -- -D warnings || exit 1; \
	done
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps $(ALL_FEATURES)

unit: peers
	$(CARGO) test --workspace $(ALL_FEATURES)
	$(CARGO) test --release -p dugong-http --test deadlock

# What make test does for a few seconds, for ten minutes, beginning anywhere: DUGONG_CHAOS_SEED repeats what has failed.
chaos: export DUGONG_CHAOS_SECONDS ?= 150
chaos: export DUGONG_CHAOS_SEED ?= $(shell date +%s)
chaos: installed
	@echo "DUGONG_CHAOS_SEED=$(DUGONG_CHAOS_SEED)"
	$(CARGO) test --release $(ALL_FEATURES) -p dugong-http --test chaos
	$(CARGO) test --release $(ALL_FEATURES) -p dugong-http --test tokio chaos::
	$(CARGO) test --release -p dugong-cli --test it chaos::
	$(CARGO) build --release -p dugong-origin
	cd crates/dugong-python && DUGONG_ORIGIN="$(CURDIR)/target/release/dugong-origin" \
		../../target/venv/bin/python -m pytest -q -n 3 -o pythonpath=tests tests/test_chaos.py

# Servers that Debian does not have, for the tests of the command line: Bun's program without its installer, and proxy.py.
BUN = @oven/bun-linux-$(if $(filter aarch64 arm64,$(shell uname -m)),aarch64,x64-baseline)@1.4.4

peers: target/peers/ready

target/peers/ready: crates/dugong-cli/tests/peers/requirements.txt Makefile
	mkdir -p target/peers
	npm install --silent --no-save --no-audit --no-fund --ignore-scripts --prefix target/peers $(BUN)
	ln -sf "$$(cd target/peers && echo node_modules/@oven/bun-*/bin/bun)" target/peers/bun
	$(PYTHON) -m venv target/peers/venv
	target/peers/venv/bin/python -m pip install --quiet --requirement crates/dugong-cli/tests/peers/requirements.txt
	touch target/peers/ready

# The package is checked and tested as it is installed from a wheel, not as it stands in the source.
python: python-style python-types python-tests

python-style: target/venv/ready
	cd crates/dugong-python && ../../target/venv/bin/ruff check . && ../../target/venv/bin/ruff format --check .
	target/venv/bin/ruff check bench/python examples/python && target/venv/bin/ruff format --check bench/python examples/python

python-types: installed
	cd crates/dugong-python && ../../target/venv/bin/mypy
	cd crates/dugong-python && ../../target/venv/bin/stubtest --mypy-config-file pyproject.toml --allowlist stubtest-allowlist dugong
	cd crates/dugong-python && PATH="$(CURDIR)/target/venv/bin:$$PATH" pyright --project pyproject.toml
	PATH="$(CURDIR)/target/venv/bin:$$PATH" pyright --verifytypes dugong

python-tests: installed
	$(CARGO) build --release -p dugong-origin
	DUGONG_ORIGIN="$(CURDIR)/target/release/dugong-origin" crates/dugong-python/test-wheel target/wheels/*.whl target/venv/bin/python

installed: target/venv/ready
	rm -rf target/wheels
	target/venv/bin/maturin build --quiet --locked --release --interpreter target/venv/bin/python --out target/wheels
	target/venv/bin/python -m pip install --quiet --no-index --no-deps --force-reinstall target/wheels/*.whl

target/venv/ready: crates/dugong-python/requirements-dev.txt crates/dugong-python/requirements-test.txt
	$(PYTHON) -m venv target/venv
	target/venv/bin/python -m pip install --quiet --requirement crates/dugong-python/requirements-dev.txt
	touch target/venv/ready

wheel: target/venv/ready
	rm -rf dist
	target/venv/bin/maturin build --release --sdist --interpreter target/venv/bin/python --out dist

bench: installed target/venv-bench/ready target/venv-bench-old/ready
	$(CARGO) build --release -p dugong-origin -p dugong-bench
	target/venv-bench/bin/python -m pip install --quiet --no-index --no-deps --force-reinstall target/wheels/*.whl
	target/release/dugong-bench table --instructions

target/venv-bench/ready: bench/requirements.txt
	$(PYTHON) -m venv target/venv-bench
	target/venv-bench/bin/python -m pip install --quiet --requirement bench/requirements.txt
	touch target/venv-bench/ready

target/venv-bench-old/ready: bench/requirements-old.txt
	$(PYTHON) -m venv target/venv-bench-old
	target/venv-bench-old/bin/python -m pip install --quiet --requirement bench/requirements-old.txt
	touch target/venv-bench-old/ready

docs: target/venv-docs/ready installed
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps
	target/venv-docs/bin/python -m pip install --quiet --no-index --no-deps --force-reinstall target/wheels/*.whl
	target/venv-docs/bin/sphinx-build --quiet -W --keep-going -b html docs docs/_build

target/venv-docs/ready: docs/requirements.txt
	$(PYTHON) -m venv target/venv-docs
	target/venv-docs/bin/python -m pip install --quiet --requirement docs/requirements.txt
	touch target/venv-docs/ready

clean:
	$(CARGO) clean
