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

# Modules of half a minute and more. They begin first: at the end one would keep a process busy
# and leave the other without work (tests/test_docs.py alone is two minutes).
DEAR = (
    *("test_docs.py", "trials/test_trial_shards.py", "planning/test_sizing.py"),
    *("finetuning/test_finetune.py", "planning/test_plan.py", "pretraining/test_pretrain.py"),
    *("training/test_compute.py", "flows/test_ranks.py", "sharding/test_spread.py"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the dear modules first, whole and in their order."""
    rank = {Path(__file__).parent / name: n for n, name in enumerate(DEAR)}
    items.sort(key=lambda item: rank.get(item.path, len(DEAR)))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real hg19 slices, or a skip with the reason."""
    given = os.environ.get("EPILM_TEST_DATA")
    folder = Path(given) if given else Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set EPILM_TEST_DATA to its folder")
    return folder
