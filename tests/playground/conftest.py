"""One tiny playground for all tests of this folder, and its truth as tables."""

from pathlib import Path

import pandas as pd
import pytest

from epilm.playground.simulate import simulate


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("playground") / "tiny", "tiny", seed=3)


def table(folder, name):
    return pd.read_csv(folder / name, sep="\t", compression="infer")


@pytest.fixture(scope="session")
def regions(tiny):
    return table(tiny, "truth_regions.tsv.gz")


@pytest.fixture(scope="session")
def sites(tiny):
    return table(tiny, "truth_sites.tsv.gz")
