"""A competitor whose weights stay as they are: a logistic regression over its vectors.

What is published of large models as zero-shot embeddings is this: the mean of the tokens, and a
classifier on it. Seconds a set, and it says what pre-training alone has put into the vectors.
"""

from typing import Any

from numpy.typing import NDArray

from epilm.baselines.sequence_models import fit_vectors
from epilm.device import choose_place
from epilm.errors import InputError
from epilm.finetuning.trunk import random_twin
from epilm.genome.sequence import reverse_complement
from epilm.hub.load import Loaded, load
from epilm.tasks.base import LabelledSequences
from epilm.training.learning import Learning
from epilm.trials.learn import Answers, Competitor, DataSet, begins_at

_BATCH = 256


def check_frozen(competitor: Competitor, data: DataSet) -> None:
    """Refuse a model that cannot be opened, has no encoder, or cannot read the shortest sequence.

    Raises
    ------
    CheckpointError, InputError
    """
    model = load(competitor.checkpoint)
    shortest = data.rows.take([int(data.rows.lengths.argmin())])
    vectors_of(model, shortest, both_strands=False)
    if not len(data.rows.part("valid")):
        raise InputError(
            "no valid rows to choose the penalty on",
            where=data.name,
            found=f"{competitor.name}: a regression over frozen vectors",
            do="Give the set valid rows, or fine-tune the model.",
        )


def answer_frozen(competitor: Competitor, data: DataSet, spec: Learning) -> Answers:
    """Fit a regression over the vectors of a model, its penalty by valid; what it says.

    Of the settings it takes the strands (the mean of both strands' vectors), the threshold, the
    device and, of random weights, the seed.
    """
    model = load(competitor.checkpoint)
    if competitor.init == "random":
        network = random_twin(model.spec, spec).eval()
        model = Loaded(network, model.spec, {}, model.path)
    model.model.to(choose_place(spec.device, "fp32").device)
    parts = {part: data.rows.part(part) for part in ("train", "valid", "test")}
    vectors = {part: vectors_of(model, rows, spec.both_strands) for part, rows in parts.items()}
    fitted = fit_vectors(
        vectors["train"], parts["train"].labels, vectors["valid"], parts["valid"].labels
    )
    said = {part: fitted.probabilities(vectors[part]) for part in ("valid", "test")}
    labels = {part: parts[part].labels for part in said}
    begins = begins_at(spec.threshold, labels["valid"], said["valid"])
    return Answers(labels, said, begins, dict(fitted.chosen))


def vectors_of(model: Loaded, rows: LabelledSequences, both_strands: bool) -> NDArray[Any]:
    """The mean of the tokens of each row, float32 (N, H); of both strands their mean."""
    codes = [line[:length] for line, length in zip(rows.codes, rows.lengths, strict=True)]
    made = model.embed(codes, pooling="mean", batch_size=_BATCH)
    if not both_strands:
        return made
    other = [reverse_complement(line) for line in codes]
    return (made + model.embed(other, pooling="mean", batch_size=_BATCH)) / 2
