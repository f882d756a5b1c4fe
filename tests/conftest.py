"""Fixtures every test may use. Real data stays outside the repository."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Compiled functions take seconds at their first call: a deadline would test the compiler.
settings.register_profile("epilm", deadline=None)
settings.load_profile("epilm")

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real hg19 slices, or a skip with the reason."""
    given = os.environ.get("EPILM_TEST_DATA")
    folder = Path(given) if given else Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set EPILM_TEST_DATA to its folder")
    return folder
