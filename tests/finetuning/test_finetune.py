"""Fine-tuning on planted motifs: it learns, it repeats itself, it says what is wrong, it leaves
nothing half-written.
"""

import json

import numpy as np
import pytest
import torch

from epilm.errors import CheckpointError, InputError, TrainingError, UsageError
from epilm.finetuning.classifier import load_classifier
from epilm.finetuning.evaluate import evaluate, leak_of
from epilm.finetuning.finetune import FinetuneSpec, finetune
from epilm.finetuning.predict import predict
from epilm.tasks.base import labelled


def planted(count=240, width=40, seed=0, ragged=False):
    """Half of the sequences hold TGACTCA."""
    rng = np.random.default_rng(seed)
    rows = []
    labels = np.arange(count) % 2
    for label in labels:
        n = width - int(rng.integers(0, 10)) if ragged else width
        codes = rng.integers(0, 4, n).astype(np.uint8)
        if label:
            at = rng.integers(2, n - 9)
            codes[at : at + 7] = [3, 2, 0, 1, 3, 1, 0]
        rows.append(codes)
    return labelled(rows, labels, name="planted")


QUICK = FinetuneSpec(epochs=2, lr=1e-3, batch_size=16, device="cpu", precision="fp32")


def quick(rows, out=None, **options):
    lines = []
    settings = options.pop("settings", QUICK)
    options = {"checkpoint": "random", "size": "tiny", "k": 3} | options
    result = finetune("sequences", rows, out, settings=settings, say=lines.append, **options)
    return result, lines


def test_the_cnn_learns_a_planted_motif_and_its_run_can_be_read(tmp_path):
    settings = FinetuneSpec(epochs=12, lr=3e-3, batch_size=16, device="cpu")
    result, lines = quick(planted(600), tmp_path / "run", checkpoint="cnn", settings=settings)
    assert result.metrics["test"]["auroc"] > 0.9
    assert any(line.startswith("epoch 12/12") for line in lines)
    names = sorted(p.name for p in (tmp_path / "run").iterdir())
    assert names == ["metrics.json", "metrics.jsonl", "model", "predictions.tsv", "task.json"]
    task = json.loads((tmp_path / "run" / "task.json").read_text())
    assert task["set"]["counts"]["test"] == [30, 30]
    again = evaluate(tmp_path / "run")
    assert again.table["test"]["ap"] == pytest.approx(result.metrics["test"]["ap"], abs=1e-6)
    classifier = load_classifier(tmp_path / "run")
    assert np.allclose(classifier.probabilities(result.rows), result.probabilities, atol=1e-6)


def test_a_language_model_repeats_itself_by_seed_and_survives_disk(tmp_path):
    rows = planted(ragged=True)
    first, _ = quick(rows, tmp_path / "a")
    second, _ = quick(rows)
    assert (first.probabilities == second.probabilities).all()
    other, _ = quick(rows, settings=FinetuneSpec(**{**QUICK.__dict__, "seed": 1}))
    assert (other.probabilities != first.probabilities).any()
    loaded = load_classifier(tmp_path / "a")
    assert np.allclose(loaded.probabilities(first.rows), first.probabilities, atol=1e-6)
    assert len(first.history) == 2
    assert {"loss", "valid_ap", "lr", "seconds"} <= set(first.history[0])


def test_the_callers_random_state_is_left_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    quick(planted(60))
    assert (torch.get_rng_state() == before).all()


def test_best_epoch_is_kept():
    rows = planted()
    result, _ = quick(
        rows,
        settings=FinetuneSpec(epochs=4, lr=2e-3, batch_size=16, device="cpu", precision="fp32"),
    )
    best = max(row["valid_ap"] for row in result.history)
    assert result.metrics["valid"]["ap"] == pytest.approx(best)


def test_batch_sizes_agree_in_prediction():
    result, _ = quick(planted(80, ragged=True))
    one = result.classifier.probabilities(result.rows, batch_size=1)
    many = result.classifier.probabilities(result.rows, batch_size=64)
    assert np.allclose(one, many, atol=1e-6)


def test_both_strands_give_the_same_answer_to_either():
    settings = FinetuneSpec(epochs=1, lr=1e-3, device="cpu", precision="fp32", both_strands=True)
    result, _ = quick(planted(80), settings=settings)
    codes = result.rows.codes
    turned = labelled(list(3 - codes[:, ::-1]), result.rows.labels)
    assert np.allclose(result.classifier.probabilities(turned), result.probabilities, atol=1e-5)


@pytest.mark.parametrize("freeze", ["encoder", "embeddings", "layers:1"])
def test_frozen_weights_do_not_move(freeze):
    settings = FinetuneSpec(epochs=1, lr=1e-2, device="cpu", precision="fp32", freeze=freeze)
    result, _ = quick(planted(60), settings=settings)
    fresh, _ = quick(
        planted(60), settings=FinetuneSpec(epochs=1, lr=1e-12, device="cpu", precision="fp32")
    )
    now, then = result.classifier.module.encoder, fresh.classifier.module.encoder
    assert torch.allclose(now.words.weight, then.words.weight, atol=1e-8)
    last = torch.allclose(now.blocks[-1].up.weight, then.blocks[-1].up.weight, atol=1e-8)
    assert last is (freeze == "encoder")


def test_collapse_is_said_and_written(tmp_path):
    rows = planted(200)
    settings = FinetuneSpec(epochs=1, lr=1e-9, device="cpu", precision="fp32")
    result, lines = quick(rows, tmp_path / "run", settings=settings)
    assert result.metrics["test"]["collapse"].startswith(("constant", "near constant", "flat"))
    assert any("WARNING, COLLAPSE on test" in line for line in lines)
    assert any(
        "COLLAPSE" in note
        for note in json.loads((tmp_path / "run" / "task.json").read_text())["notes"]
    )
    assert any("COLLAPSE" in w for w in evaluate(tmp_path / "run").warnings)


def test_a_loss_that_is_no_number_stops_and_leaves_nothing(tmp_path, monkeypatch):
    from epilm.finetuning.classifier import Classifier

    plain = Classifier.logits
    monkeypatch.setattr(Classifier, "logits", lambda self, *a: plain(self, *a) * float("nan"))
    with pytest.raises(
        TrainingError,
        match=r"epoch 1, step 1: the loss or its gradient is not finite.*lower|Lower --lr",
    ):
        quick(planted(60), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == []


def test_an_existing_run_is_not_written_over(tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(TrainingError, match=r"the run exists already.*--overwrite"):
        quick(planted(60), tmp_path / "run")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"checkpoint": "nowhere"}, CheckpointError, "there is no such checkpoint"),
        ({"fusion": "concatt"}, UsageError, "Did you mean concat"),
        ({"init": "none"}, UsageError, "unknown init"),
        ({"fusion": "concat", "checkpoint": "cnn"}, UsageError, "the CNN reads bases alone"),
        ({"settings": FinetuneSpec(freeze="all")}, UsageError, "unknown freeze. Found all"),
        (
            {"settings": FinetuneSpec(warmup=1.5)},
            UsageError,
            "--warmup: impossible value. Found 1.5",
        ),
        ({"settings": FinetuneSpec(epochs=0)}, UsageError, "--epochs: impossible value"),
        ({"test": ("chr1",), "split": "chromosome"}, InputError, "needs the place of every row"),
    ],
)
def test_wrong_calls_are_named(options, error, message):
    with pytest.raises(error, match=message):
        quick(planted(60), **options)


def test_short_and_long_sequences(tmp_path):
    with pytest.raises(
        InputError, match=r"shorter than one k-mer. Found 2 bp; expected at least 3 bp"
    ):
        quick(labelled(["AC", "ACGT"] * 30, [0, 1] * 30, split=["train"] * 50 + ["valid"] * 10))
    rows = planted(40, width=620)
    result, lines = quick(rows, settings=FinetuneSpec(epochs=1, device="cpu", precision="fp32"))
    assert any("longer than the model reads" in line for line in lines)
    assert (
        "40 sequences are longer than the model reads: their centre was used"
        in predict(result.classifier, rows).notes
    )


def test_predict_reads_letters_fasta_and_intervals(tmp_path):
    result, _ = quick(planted(80), tmp_path / "run")
    classifier = result.classifier
    texts = [result.rows.text(i) for i in range(5)]
    by_letters = predict(tmp_path / "run", texts, device="cpu")
    assert np.allclose(by_letters.probabilities, result.probabilities[:5], atol=1e-6)
    (tmp_path / "a.fa").write_text("".join(f">s{i}\n{t}\n" for i, t in enumerate(texts)))
    by_fasta = predict(classifier, tmp_path / "a.fa")
    assert by_fasta.names == [f"s{i}" for i in range(5)]
    assert np.allclose(by_fasta.probabilities, by_letters.probabilities)
    (tmp_path / "g.fa").write_text(">chr1\n" + "".join(texts) + "\n")
    (tmp_path / "a.bed").write_text(
        "".join(f"chr1\t{40 * i}\t{40 * i + 40}\tr{i}\n" for i in (3, 0, 1))
    )
    by_bed = predict(classifier, tmp_path / "a.bed", genome=tmp_path / "g.fa")
    assert by_bed.names == ["r3", "r0", "r1"]
    assert np.allclose(by_bed.probabilities, by_letters.probabilities[[3, 0, 1]])
    by_bed.write(tmp_path / "out.tsv")
    assert (tmp_path / "out.tsv").read_text().splitlines()[1].startswith("r3\tchr1\t120\t160\t0.")
    (tmp_path / "b.bed").write_text("chr1\t190\t240\n")
    with pytest.raises(
        InputError, match=r"line 1: the interval reaches over its chromosome; 1 of 1 do"
    ):
        predict(classifier, tmp_path / "b.bed", genome=tmp_path / "g.fa")
    with pytest.raises(InputError, match="intervals need the genome"):
        predict(classifier, tmp_path / "a.bed")
    with pytest.raises(CheckpointError, match="no fine-tuned classifier here"):
        predict(tmp_path, texts)


def test_predict_that_runs_out_of_memory_names_what_fits(tmp_path, monkeypatch):
    """Passes of more than 10 sequences fail as a full card does."""
    result, _ = quick(planted(80), tmp_path / "run")
    plain = type(result.classifier).logits

    def full(self, inputs, at, strand=0):
        if len(at) > 10:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return plain(self, inputs, at, strand)

    monkeypatch.setattr(type(result.classifier), "logits", full)
    texts = [result.rows.text(i) for i in range(40)]
    with pytest.raises(
        UsageError, match=r"out of memory. Found 40 rows on cpu.*set --batch-size to 10"
    ):
        predict(tmp_path / "run", texts, device="cpu")
    fitting = predict(tmp_path / "run", texts, device="cpu", batch_size=10)
    assert np.allclose(fitting.probabilities, result.probabilities[:40], atol=1e-6)


def test_the_leak_is_counted():
    places = np.array(["chr1", "chr22", "chr22"]), np.array([0, 5, 9]), np.array([9, 14, 20])
    assert leak_of({"holdout_chroms": ["chr22"]}, *places)["fraction"] == pytest.approx(1 / 3)
    assert leak_of({"holdout_chroms": []}, *places)["fraction"] == 1
    began = {
        "holdout_chroms": ["chr22"],
        "chroms": ["chr20", "chr22"],
        "before": [{"checkpoint": "bert", "unknown": True}],
    }
    assert leak_of(began, *places)["fraction"] is None
    assert "the weights of bert have read is not known" in leak_of(began, *places)["said"]
    unknown = leak_of({"holdout_chroms": []}, np.array([""]), np.array([-1]), np.array([-1]))
    assert unknown["fraction"] is None


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """A checkpoint of both streams as pre-training leaves it, with three factors."""
    from epilm.hub.checkpoint import save_model
    from epilm.models.build import build_model
    from epilm.models.model_spec import EncoderSpec, ModelSpec, TowerSpec

    spec = ModelSpec(
        k=3,
        regions=2,
        factors=3,
        encoder=EncoderSpec(size="tiny"),
        tower=TowerSpec(name="native", patch=(1, 1), embed=8, depths=(1,), heads=(2,), window=2),
        projection_dim=8,
    )
    folder = tmp_path_factory.mktemp("pre") / "run" / "model"
    extra = {"store": "f00d", "factor_ids": ["M2", "M0", "M1"], "holdout_chroms": ["chr22"]}
    save_model(folder, build_model(spec, seed=3), spec, extra)
    return folder.parent


def three_motifs():
    from epilm.motifs.formats import Motif

    out = []
    for i, word in enumerate(("TGACTCA", "GGGCGG", "CACGTG")):
        matrix = np.ones((len(word), 4))
        matrix[np.arange(len(word)), ["ACGT".index(b) for b in word]] = 97
        out.append(Motif(id=f"M{i}", name=word, matrix=matrix, is_counts=True))
    return out


def test_a_pretrained_run_gives_its_weights_and_its_random_twin_does_not(pretrained, tmp_path):
    from epilm.finetuning.finetune import prepare_classifier

    trained, _ = prepare_classifier(pretrained, 2, settings=QUICK)
    twin, _ = prepare_classifier(pretrained, 2, init="random", settings=QUICK)
    one, other = trained.module.encoder.words.weight, twin.module.encoder.words.weight
    assert one.shape == other.shape
    assert not torch.allclose(one, other)
    assert trained.about["pretraining"]["holdout_chroms"] == ["chr22"]
    assert twin.about["pretraining"] is None
    result, _ = quick(planted(60), tmp_path / "ft", checkpoint=pretrained)
    assert evaluate(tmp_path / "ft").leak["fraction"] is None  # planted rows have no place
    assert result.classifier.spec.regions == 2


@pytest.mark.parametrize("fusion", ["concat", "cross_attention"])
def test_fusion_reads_the_motif_scores_of_the_input(pretrained, tmp_path, fusion):
    result, _ = quick(
        planted(80), tmp_path / "ft", checkpoint=pretrained, fusion=fusion, motifs=three_motifs()
    )
    assert [m.id for m in result.classifier.motifs] == ["M2", "M0", "M1"]  # the model's order
    loaded = load_classifier(tmp_path / "ft")
    assert np.allclose(loaded.probabilities(result.rows), result.probabilities, atol=1e-5)
    with pytest.raises(CheckpointError, match=r"lacks factors of the model. Found 1 missing, M2"):
        quick(planted(60), checkpoint=pretrained, fusion=fusion, motifs=three_motifs()[:2])
    with pytest.raises(UsageError, match="Found 0 motifs; expected 3"):
        quick(planted(60), checkpoint=pretrained, fusion=fusion)


def test_a_dnabert_folder_is_a_checkpoint(pretrained, tmp_path):
    from epilm.hub.export import export

    export(pretrained, tmp_path / "bert")
    result, _ = quick(planted(60), checkpoint=tmp_path / "bert")
    assert result.classifier.spec.k == 3


def test_a_fine_tuned_run_is_no_start(pretrained, tmp_path):
    quick(planted(60), tmp_path / "ft", checkpoint=pretrained)
    with pytest.raises(CheckpointError, match="this is no pre-trained model"):
        quick(planted(60), checkpoint=tmp_path / "ft")


def test_positions_pretraining_never_used_repeat_those_it_did(tmp_path):
    from epilm.finetuning.starts import prepare_classifier
    from epilm.hub.checkpoint import save_model
    from epilm.models.build import build_model
    from epilm.models.model_spec import EncoderSpec, ModelSpec

    spec = ModelSpec(
        name="dnabert", streams=("dna",), k=3, max_tokens=20, encoder=EncoderSpec(size="tiny")
    )
    save_model(tmp_path / "m", build_model(spec, seed=0), spec)
    made, notes = prepare_classifier(tmp_path / "m", 2, settings=QUICK)
    table = made.module.encoder.positions.weight
    assert torch.equal(table[20:40], table[:20])
    assert "pre-training used 20 of 512 positions: the others repeat them" in notes
    assert made.inputs(planted(10, width=60)).cropped == 0
