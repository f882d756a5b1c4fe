"""What every test of variants may read, made once: nothing of it is written to."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from epilm.genome.sequence import decode
from epilm.hub.checkpoint import save_model
from epilm.models.from_spec import build_model
from toy_sequences import QUICK, planted, quick
from toy_variants import SITES, SPEC, some_variants, write_genome, write_table


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("variants")
    letters = decode(np.random.default_rng(1).integers(0, 4, 2000).astype(np.uint8))
    write_genome(folder / "g.fa", chr1=letters, chr2=letters[::-1])
    save_model(folder / "model", build_model(SPEC, seed=1).eval(), SPEC, {})
    network = build_model(SITES, seed=2).eval()
    torch.nn.init.normal_(network.motif_head.weight, std=0.5)  # else all say one in a thousand
    unlearned = {"recipe": {"objectives": {"masked_kmers": {"weight": 0}}}}
    save_model(folder / "sites", network, SITES, unlearned)
    tuned, _ = quick(planted(80), folder / "tuned", settings=replace(QUICK, epochs=1))
    (folder / "m.jaspar").write_text(
        ">M1 AP1\nA [ 0 0 9 0 0 0 9 ]\nC [ 0 0 0 9 0 9 0 ]\n"
        "G [ 0 9 0 0 0 0 0 ]\nT [ 9 0 0 0 9 0 0 ]\n"
    )
    rows = some_variants(letters, 16)
    write_table(folder / "v.tsv", rows)
    return {"folder": folder, "letters": letters, "rows": rows, "tuned": tuned}
