"""What a fine-tuned model says of a variant is the difference of what it predicts."""

from dataclasses import replace

import numpy as np
import pytest

from epilm.errors import UsageError
from epilm.finetuning.predict import predict
from epilm.genome.sequence import decode, encode
from epilm.variants import pair_scores
from epilm.variants.score import score_variants
from toy_binding import QUICK as BINDING
from toy_binding import quick as quick_binding
from toy_binding import toy_store
from toy_variants import CPU, write_table


def test_a_tasks_delta_is_that_of_its_predictions(world):
    folder, letters = world["folder"], world["letters"]
    done = score_variants(folder / "v.tsv", folder / "tuned", folder / "g.fa", window=40, **CPU)
    assert set(done.values) == {f"logit_1_{side}" for side in pair_scores.SIDES}
    for row, change in enumerate(done.changes[:6]):
        start = change.start - (40 - max(len(change.ref), len(change.alt))) // 2
        after = change.start + len(change.ref)
        ref = letters[start : start + 40]
        alt = (letters[start : change.start] + change.alt + letters[after : after + 60])[:40]
        turned = [decode(3 - encode(each)[::-1]) for each in (ref, alt)]
        said = predict(folder / "tuned", [ref, alt, *turned], device="cpu", both_strands=False)
        odds = np.log(said.probabilities[:, 1] / said.probabilities[:, 0])
        expected = ((odds[1] - odds[0]) + (odds[3] - odds[2])) / 2
        assert done.values["logit_1_delta"][row] == pytest.approx(expected, abs=1e-5)


def test_binding_puts_the_haplotype_into_the_stores_windows(tmp_path):
    """The same as a store whose genome has the ALT, to the bit of a batch of two."""
    store = toy_store(tmp_path / "s")
    quick_binding(store, out=tmp_path / "ft", epochs=1)
    where = int(store.offsets[1]) + 5000
    ref = decode(store.genome[where : where + 1])
    alt = "A" if ref != "A" else "C"
    table = write_table(tmp_path / "v.tsv", [["chr2", 5001, ".", ref, alt]])
    cell = store.cell_types[0]
    given = {"store": store, "cell": cell, **CPU}
    done = score_variants(table, tmp_path / "ft", **given)
    assert done.reasons == [""]
    assert done.values["logit_TF_delta"][0] != 0
    genome = np.array(store.genome)
    genome[where] = "ACGT".index(alt)
    back = score_variants(
        write_table(tmp_path / "b.tsv", [["chr2", 5001, ".", alt, ref]]),
        tmp_path / "ft",
        **given | {"store": replace(store, genome=genome)},
    )
    assert back.values["logit_TF_delta"][0] == -done.values["logit_TF_delta"][0]
    assert back.values["logit_TF_ref"][0] == done.values["logit_TF_alt"][0]
    with pytest.raises(UsageError, match=f"reads windows of one width.*{BINDING.window_bp}"):
        score_variants(table, tmp_path / "ft", window=100, **given)
    with pytest.raises(UsageError, match="Give --store and --cell"):
        score_variants(table, tmp_path / "ft", tmp_path / "g.fa", **CPU)
