"""Batches are made on machines that have torch and numpy and nothing else of ours."""

import subprocess
import sys

import pytest

from toy_store import toy_store
from toy_tracks import toy_track_store

SCRIPT = """
import sys
blocked = {blocked!r}
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ImportError(f"{{name}} is not on the training path")
sys.meta_path.insert(0, Refuse())
import hashlib
import numpy as np
from epilm.batches import BatchMaker
from epilm.models.model_spec import ModelSpec
from epilm.objectives.table import MaskedFactorsSpec, ObjectivesSpec
from epilm.store.reader import Store
from epilm.store.sampling import rows_at
from epilm.store.sample_spec import SampleSpec
store = Store.open({path!r})
objectives = ObjectivesSpec(masked_factors=MaskedFactorsSpec(weight=1.0))
spec = ModelSpec(streams=("dna", "factors", "contacts"))
maker = BatchMaker(store, spec, objectives, SampleSpec(regions=3), seed=0)
batch = maker(rows_at(len(maker), batch=5, step=3, seed=0), 3)
tensors = [batch.dna.ids, batch.dna.labels, batch.pairs.ids, batch.pair_labels]
tensors += [batch.factors, batch.contacts]
print(hashlib.sha256(b"".join(t.numpy().tobytes() for t in tensors)).hexdigest())
print(sorted(set(sys.modules) & {{"pandas", "scipy", "rich", "numba", "bioframe", "lightning",
                                 "transformers"}}))
"""


WINDOWS = (
    SCRIPT.partition("from epilm.batches import")[0]
    + """
from epilm.batches import make_batches
from epilm.batches.window_reader import EBERT_PLUS_SIGNALS, WindowReader
from epilm.models.model_spec import ModelSpec
from epilm.objectives.table import ObjectivesSpec
from epilm.store.reader import Store
from epilm.store.sample_spec import SampleSpec
from epilm.store.window_table import window_rows
store = Store.open({path!r})
spec = ModelSpec(name="ebert", streams=("dna", "states"), k=7, stride=7)
samples = SampleSpec(unit="windows", window_jitter=50, strands="both")
maker = make_batches(store, spec, ObjectivesSpec(alpha=0.5), samples, seed=0)
batch = maker(window_rows(len(maker), batch=5, step=3, seed=0), 3)
reader = WindowReader(store, spec, 1000, signals=EBERT_PLUS_SIGNALS)
read = reader(batch.cells, batch.chroms, batch.starts)
tensors = [batch.dna.ids, batch.dna.labels, batch.states, batch.state_labels]
tensors += [batch.starts, read.signals]
print(hashlib.sha256(b"".join(t.numpy().tobytes() for t in tensors)).hexdigest())
"""
    + SCRIPT[SCRIPT.index("print(sorted(") :]
)


def run(path, blocked, script=SCRIPT):
    code = script.format(path=str(path), blocked=blocked)
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.splitlines()


@pytest.mark.parametrize(("make", "script"), [(toy_store, SCRIPT), (toy_track_store, WINDOWS)])
def test_a_batch_needs_torch_and_numpy_alone_and_is_the_same_without_numba(make, script, tmp_path):
    store = make(tmp_path)
    bare = [
        "pandas",
        "scipy",
        "rich",
        "numba",
        "bioframe",
        "sklearn",
        "anndata",
        "lightning",
        "transformers",
    ]
    alone, modules = run(store.path, bare, script)
    assert modules == "[]"
    assert run(store.path, [], script)[0] == alone
