"""One tiny playground for all tests of this folder."""

from pathlib import Path

import pytest

from epilm.playground.simulate import simulate


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate(tmp_path_factory.mktemp("playground") / "tiny", "tiny", seed=3)
