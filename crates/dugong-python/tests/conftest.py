from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    """Collect at once, so that a forgotten socket or a bad callback fails the test that caused it."""
    yield
    gc.collect()
