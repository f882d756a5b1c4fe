"""What is printed of a prediction or of scored variants, whoever computed it."""

from typing import Any

from epilm.tasks.sequence_predictions import SequencePredictions, summary
from epilm.variants.prepared_scoring import VariantScores


def text_of(done: Any, out: Any) -> str:
    """Lines on what was written."""
    if isinstance(done, SequencePredictions):
        return f"{done.told()}: {out}"
    text: str = done.text()
    return f"{text}\n{out}" if isinstance(done, VariantScores) else text


def summary_of(done: Any, out: Any) -> dict[str, Any]:
    """JSON values on what was written."""
    if isinstance(done, SequencePredictions):
        return summary(done) | {"out": str(out) if out else None}
    if isinstance(done, VariantScores):
        return {"alleles": len(done)} | done.counts() | {"out": str(out)}
    return dict(done.summary())
