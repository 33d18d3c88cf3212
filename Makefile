# What a person types; the README explains the first two. `make -k` style switches work as usual.

CARGO ?= cargo
PYTHON ?= python3

.PHONY: help demo test check unit python bench docs clean

help:
	@echo "make demo   build, then fetch 2,000 documents one at a time and pipelined (needs Rust)"
	@echo "make test   all checks and tests (needs Rust, Python 3.11 and nginx)"
	@echo "make bench  the benchmark beside raw and httparse clients (about 5 minutes; valgrind adds instruction counts)"
	@echo "make docs   the API documentation, in target/doc"

demo:
	$(CARGO) build --release -p dugong-cli --bins --examples
	$(CARGO) run --quiet --release -p dugong-cli --example demo

test: check unit python

check:
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

unit:
	$(CARGO) test --workspace
	$(CARGO) test --release -p dugong-http --test deadlock

python: target/venv/ready
	cd crates/dugong-python && ../../target/venv/bin/ruff check . && ../../target/venv/bin/mypy
	cd crates/dugong-python && ../../target/venv/bin/python -m pytest -q

target/venv/ready: crates/dugong-python/requirements-dev.txt
	$(PYTHON) -m venv target/venv
	target/venv/bin/python -m pip install --quiet --requirement crates/dugong-python/requirements-dev.txt
	touch target/venv/ready

bench:
	$(CARGO) build --release -p dugong-origin -p dugong-bench
	target/release/dugong-bench table --instructions

docs:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

clean:
	$(CARGO) clean
