"""EBERT with random weights and a head of binding, for a store of states: what prediction is timed
with. The work is that of a trained one.
"""

from collections.abc import Sequence
from typing import Any


def ebert_plus(
    store: Any,
    *,
    size: str = "tiny",
    window_bp: int = 1000,
    signals: Sequence[str] = (),
    encoder: dict[str, Any] | None = None,
    **head: Any,
) -> Any:
    """Make a `Finetuned` that reads the states of a store and the signals named.

    Parameters
    ----------
    store : Store
    size : str
        Of the encoder; `encoder` replaces single values of it.
    head
        Options of the head of convolutions.
    """
    from epilm.batches.reads import parse_signal
    from epilm.finetuning.finetuned import Finetuned
    from epilm.models.from_spec import build_model
    from epilm.models.model_spec import EncoderSpec, ModelSpec
    from epilm.models.networks import HEADS, Shape
    from epilm.tokens.kmers import n_window_tokens

    spec = ModelSpec(
        name="ebert",
        streams=("dna", "states"),
        k=7,
        stride=7,
        max_tokens=max(150, n_window_tokens(window_bp, 7, 7) + 2),
        cells=len(store.cell_types),
        states=store.states.n_states,
        next_segment="none",
        encoder=EncoderSpec(size=size, **(encoder or {})),
    )
    shape = Shape(1, len(signals), window_bp, states=True)
    network = HEADS["convolutions"].build(build_model(spec, seed=0), shape, 1, **head)
    about = {
        "task": "binding",
        "kind": "trunk",
        "labels": {"kind": "factors", "names": ["TF"]},
        "head": {"name": "convolutions", **head},
        "streams": ["dna", "states"],
        "signals": [list(parse_signal(name)) for name in signals],
        "window_bp": window_bp,
        "width": 200,
        "strands": "forward",
        "state_names": list(store.states.names),
        "state_bin": int(store.states.bin),
    }
    return Finetuned(network.eval(), spec, about)


def blocks_of(model: Any, store: Any, cell: str, bins: Any, place: Any, batch: int) -> Any:
    """Probabilities (n, 1) of bins, block by block."""
    from epilm.finetuning.scorer import ModelScorer
    from epilm.tasks.binding.rows import CellBins

    model.network.to(place.device)
    examples = CellBins(bins, store.cell_number(cell), tuple(store.chroms))
    return ModelScorer(model, place, batch=batch)(examples, store)
