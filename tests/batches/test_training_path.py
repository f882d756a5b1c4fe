"""Batches are made on machines that have torch and numpy and nothing else of ours."""

import subprocess
import sys

from toy_store import toy_store

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
from epilm.models.spec import ModelSpec
from epilm.objectives.spec import MaskedFactorsSpec, ObjectivesSpec
from epilm.store.reader import Store
from epilm.store.sampling import rows_at
from epilm.store.spec import SampleSpec
store = Store.open({path!r})
objectives = ObjectivesSpec(masked_factors=MaskedFactorsSpec(weight=1.0))
maker = BatchMaker(store, ModelSpec(streams=("dna", "factors", "contacts")), objectives, SampleSpec(regions=3), seed=0)
batch = maker(rows_at(len(maker), batch=5, step=3, seed=0), 3)
tensors = [batch.dna.ids, batch.dna.labels, batch.pairs.ids, batch.pair_labels, batch.factors, batch.contacts]
print(hashlib.sha256(b"".join(t.numpy().tobytes() for t in tensors)).hexdigest())
print(sorted(set(sys.modules) & {{"pandas", "scipy", "rich", "numba", "bioframe", "lightning", "transformers"}}))
"""


def run(path, blocked):
    code = SCRIPT.format(path=str(path), blocked=blocked)
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.splitlines()


def test_a_batch_needs_torch_and_numpy_alone_and_is_the_same_without_numba(tmp_path):
    store = toy_store(tmp_path)
    bare = ["pandas", "scipy", "rich", "numba", "bioframe", "sklearn", "anndata", "lightning", "transformers"]
    alone, modules = run(store.path, bare)
    assert modules == "[]"
    assert run(store.path, [])[0] == alone
