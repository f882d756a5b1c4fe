"""A store, an untrained model of its bins and some bins, made once: no test writes to them."""

from dataclasses import replace

import pytest

from epilm.tasks.binding import grid
from toy_binding import QUICK, started, toy_store


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    return toy_store(tmp_path_factory.mktemp("store"), lonely=("typeD",), n_share=0.02)


@pytest.fixture(scope="session")
def model(store):
    """Untrained: what it says is a function of its seed."""
    settings = replace(QUICK, signals=("accessibility", "mappability"))
    made, _ = started("ebert", store, settings, factors=("CTCF", "MAX"))
    made.network.eval()
    return made


@pytest.fixture(scope="session")
def bins(store):
    sizes = dict(zip(store.chroms, store.sizes, strict=True))
    return grid(sizes, chroms=["chr2:600-4000", "chr3:0-6000"], margin=0)
