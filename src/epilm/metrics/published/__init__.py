"""Published numbers that ours stand beside, each as printed, with its source.

Of ENCODE-DREAM ranks alone: the peers' metric values were never published, and what is not here
must not be invented.
"""

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class PublishedRanks(NamedTuple):
    """A table of ranks as a paper gives it.

    Attributes
    ----------
    models : tuple of str (M,)
    datasets : tuple of str (D,)
        FACTOR:CELL.
    ranks : float64 (D, M)
        Rank of each model on each dataset, 1 the best; or means of several metrics' ranks.
    overall : tuple of int (M,)
        The paper's own last line; empty where it prints none.
    source, note : str
    """

    models: tuple[str, ...]
    datasets: tuple[str, ...]
    ranks: NDArray[np.float64]
    overall: tuple[int, ...]
    source: str
    note: str


def dream_ranks() -> PublishedRanks:
    """Give Table 1 of the EBERT paper: five systems on the 13 datasets of ENCODE-DREAM.

    Examples
    --------
    >>> table = dream_ranks()
    >>> table.models, table.ranks.shape, table.overall
    (('EBERT+', 'JTeam', 'FactorNet', 'Anchor', 'DeepGRN'), (13, 5), (3, 1, 2, 4, 5))
    """
    data = _read()
    ranks = np.array(list(data["ranks"].values()), np.float64)
    return PublishedRanks(
        tuple(data["models"]),
        tuple(data["ranks"]),
        ranks,
        tuple(data["printed_overall"]),
        data["source"],
        data["note"],
    )


def dream_internal_ranks() -> PublishedRanks:
    """Give the paper's own three models: on each dataset the mean of their ranks in four metrics.

    Examples
    --------
    >>> table = dream_internal_ranks()
    >>> table.models, table.ranks[2].tolist()
    (('DBERT', 'EBERT', 'EBERT+'), [2.875, 1.5, 1.625])
    """
    data = _read()
    inside = data["internal"]
    ranks = np.array(list(inside["mean_metric_ranks"].values()), np.float64)
    return PublishedRanks(
        tuple(inside["models"]),
        tuple(inside["mean_metric_ranks"]),
        ranks,
        (),
        data["source"],
        inside["about"],
    )


class PublishedScores(NamedTuple):
    """A table of scores as a paper gives it.

    Attributes
    ----------
    rows : dict of str to dict of str to float
        Row -> score (macro_precision, macro_recall, auroc) -> value.
    source : str
    note : str
        What is odd about it.
    """

    rows: Mapping[str, Mapping[str, float]]
    source: str
    note: str


def genebert_table(number: str) -> PublishedScores:
    """Give a table of the GeneBERT paper: "1", "2", "2_dnabert" (its rows of DNABERT), "5", "7",
    "8".

    Examples
    --------
    >>> genebert_table("5").rows["mgm"]
    {'macro_precision': 0.675, 'macro_recall': 0.637, 'auroc': 0.693}
    """
    data = _read("genebert.json")
    table = data["tables"][number]
    rows = {
        name: dict(zip(data["scores"], values, strict=True))
        for name, values in table["rows"].items()
    }
    named = f"GeneBERT paper, Table {number.partition('_')[0]}"
    return PublishedScores(rows, named, table["note"])


def _read(name: str = "dream.json") -> Any:
    return json.loads((files(__package__) / name).read_text(encoding="utf-8"))
