"""What a fine-tuned model says of a variant is the difference of what it predicts."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from epilm.batch import Windows
from epilm.device import choose_place
from epilm.errors import UsageError
from epilm.finetuning.finetuned import BARE, Finetuned
from epilm.finetuning.predict import predict
from epilm.finetuning.scorer import ModelScorer
from epilm.genome.sequence import decode, encode
from epilm.models.networks import build_network
from epilm.variants import pair_scores, task_scorer
from epilm.variants.haplotypes import Change, Windowing, make_pairs
from epilm.variants.passes import UNSTEADY
from epilm.variants.score import score_variants
from epilm.variants.task_scorer import TaskScorer
from toy_binding import QUICK as BINDING
from toy_binding import quick as quick_binding
from toy_binding import toy_store
from toy_splice import Genome
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


WIDTH, GRID = 600, 16
BASES = np.random.default_rng(3).integers(0, 4, 3000).astype(np.uint8)


def over_bases(kind):
    """A network from scratch that reads bases, as a scorer; and sizes of the copies it answers."""
    about = {
        "task": "sequences",
        "kind": kind,
        "labels": {"kind": "classes", "names": ["0", "1"]},
        "head": {"window_bp": WIDTH} if kind == "factornet" else {},
        "strands": "both",
    }
    network = build_network(None, about, seed=1).eval()
    sizes, answer = [], network.answer_altered

    def counted(windows, start, bases):
        sizes.append(tuple(bases.shape))
        return answer(windows, start, bases)

    network.answer_altered = counted
    model = Finetuned(network, BARE, about)
    return TaskScorer(ModelScorer(model, choose_place("cpu", "fp32"))), sizes


def some_changes(first=1000, last=1040):
    """SNVs, pairs of bases, deletions and insertions, on both sides of an end of a cell."""
    out = []
    for at in range(first, last, 3):
        ref = decode(BASES[at : at + 2])
        turned = ref.translate(str.maketrans("ACGT", "CGTA"))
        out += [
            Change("chr1", at, ref[0], turned[0]),
            Change("chr1", at, ref[0], turned[0].translate(str.maketrans("ACGT", "CGTA"))),
            Change("chr1", at, ref, turned),
            Change("chr1", at, ref[0], ""),
            Change("chr1", at, "", turned[0]),
        ]
    return out


def scored(scorer, changes, grid=GRID, bases=BASES, shifts=(0,)):
    windowing = Windowing(WIDTH, shifts, grid)
    return pair_scores.score_changes([scorer], changes, Genome({"chr1": bases}), windowing)


@pytest.mark.parametrize("kind", ["cnn", "factornet"])
def test_copies_of_a_cells_window_say_what_whole_windows_say(kind):
    scorer, sizes = over_bases(kind)
    changes = some_changes()
    said = scored(scorer, changes, shifts=(0, 5))
    # A shape of passes for SNVs, and one for pairs of bases.
    assert set(sizes) == {(16, GRID), (16, GRID + 1)}
    network, whole = scorer.network, np.zeros((len(changes), 2))
    for shift in (0, 5):
        windowing = Windowing(WIDTH, (0, 5), GRID)
        pairs, alt_first = make_pairs(Genome({"chr1": BASES}), changes, windowing, shift)
        with torch.inference_mode():
            logits = network(_windows(pairs.codes.reshape(-1, WIDTH)))
        odds = (logits[:, 1] - logits[:, 0]).double().numpy().reshape(-1, 2)
        whole += np.where(alt_first[:, None], odds[:, ::-1], odds) / 2
    assert np.abs(whole[:, 1] - whole[:, 0]).max() > 1e-4
    np.testing.assert_allclose(said["logit_1_ref"], whole[:, 0], atol=1e-6)
    np.testing.assert_allclose(said["logit_1_alt"], whole[:, 1], atol=1e-6)
    assert (said["logit_1_strands"] == 0).all()


def _windows(codes):
    ids = torch.zeros(len(codes), 1, dtype=torch.int64)
    return Windows(ids, ids == 0, codes=torch.from_numpy(codes))


@pytest.mark.parametrize("kind", ["cnn", "factornet"])
def test_a_copys_score_depends_on_its_variant_alone(kind):
    """Alone, in blocks, shuffled, twice: the same bytes; REF and ALT swapped: the negative."""
    changes = some_changes()
    said = scored(over_bases(kind)[0], changes)
    scorer, sizes = over_bases(kind)
    order = np.random.default_rng(0).permutation(len(changes))
    shuffled = scored(scorer, [changes[i] for i in order])
    blocks = [scored(scorer, changes[at : at + 7]) for at in range(0, len(changes), 7)]
    alone = [scored(scorer, [change]) for change in changes[::4]]
    for name, values in said.items():
        assert np.array_equal(shuffled[name], values[order]), name
        assert np.array_equal(np.concatenate([each[name] for each in blocks]), values), name
        assert np.array_equal(np.concatenate([each[name] for each in alone]), values[::4]), name
    assert sizes
    for row in (0, 2, 3, 4, 11):
        chrom, at, ref, alt = changes[row]
        other = np.concatenate([BASES[:at], encode(alt), BASES[at + len(ref) :]])
        back = scored(scorer, [Change(chrom, at, alt, ref)], bases=other)
        assert back["logit_1_delta"][0] == -said["logit_1_delta"][row]
        assert back["logit_1_ref"][0] == said["logit_1_alt"][row]


def test_copies_are_read_where_windows_are_shared_and_much_wider_than_what_is_computed():
    scorer, sizes = over_bases("cnn")
    scored(scorer, some_changes(), grid=1)  # a window of its own for each place
    scored(scorer, some_changes(), grid=150)  # most of the window would be computed anew
    assert not sizes
    indels = [change for change in some_changes() if len(change.ref) != len(change.alt)]
    scored(scorer, indels)
    assert not sizes


def test_a_copy_that_heeds_its_neighbours_goes_alone(monkeypatch):
    scorer, sizes = over_bases("cnn")
    answer = scorer.network.answer_altered

    def heeding(windows, start, bases):
        said = answer(windows, start, bases)
        return said + 1e-3 * said.mean(0) * (len(said) > 1)

    monkeypatch.setattr(scorer.network, "answer_altered", heeding)
    scored(scorer, some_changes()[:2])
    assert sizes[-1] == (1, GRID)
    assert scorer.notes == [UNSTEADY]


def test_copies_of_a_stores_windows_have_its_tracks(tmp_path, monkeypatch):
    """As whole windows say; REF and ALT swapped, the negative."""
    store = toy_store(tmp_path / "s")
    quick_binding(
        store,
        out=tmp_path / "ft",
        checkpoint="factornet",
        signals=("accessibility",),
        epochs=1,
    )
    first = int(store.offsets[1]) + 5000
    rows, back = [], []
    for i in range(0, 24, 4):
        ref = decode(store.genome[first + i : first + i + 1])
        alt = "A" if ref != "A" else "C"
        rows.append(["chr2", 5001 + i, ".", ref, alt])
        back.append(["chr2", 5001 + i, ".", alt, ref])
    given = {"model": tmp_path / "ft", "cell": store.cell_types[0], "grid": 8, **CPU}
    table = write_table(tmp_path / "v.tsv", rows)
    seen, answer = [], task_scorer.TaskScorer._of_copies
    monkeypatch.setattr(
        task_scorer.TaskScorer,
        "_of_copies",
        lambda self, *given: seen.append(1) or answer(self, *given),
    )
    copies = score_variants(table, store=store, **given)
    assert seen
    count = len(seen)
    monkeypatch.setattr(task_scorer, "WORTH", 1000)
    whole = score_variants(table, store=store, **given)
    assert len(seen) == count
    for name, values in whole.values.items():
        np.testing.assert_allclose(copies.values[name], values, atol=1e-6)
    assert np.abs(whole.values["logit_TF_delta"]).max() > 1e-4
    monkeypatch.setattr(task_scorer, "WORTH", 4)
    one = write_table(tmp_path / "o.tsv", rows[2:3])
    genome = np.array(store.genome)
    genome[first + 8] = "ACGT".index(rows[2][4])
    turned = score_variants(
        write_table(tmp_path / "b.tsv", back[2:3]), store=replace(store, genome=genome), **given
    )
    alone = score_variants(one, store=store, **given)
    assert alone.values["logit_TF_delta"][0] == copies.values["logit_TF_delta"][2]
    assert turned.values["logit_TF_delta"][0] == -alone.values["logit_TF_delta"][0]
