"""A factor's motif along the genome, read as a signal of the windows: the log-odds of the best site
at each base.

What `--signals motif:CTCF` adds to a binding model beside accessibility. The scores are worked out
from the bases while windows are made, so they need no file, no cell type, and are the same for
every reader. A model carries its matrices with it (`BindingRun.motifs`). On the training path:
torch and numpy alone. Axes: B windows, W bases, w positions of a motif.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from epilm.errors import InputError
from epilm.motifs.device_scorer import LOW
from epilm.motifs.log_odds import UNIFORM, log_odds
from epilm.motifs.names import motifs_of

PREFIX, ALL = "motif:", "motifs"
PSEUDOCOUNT = 1.0
Matrices = Sequence[Mapping[str, Any]]  # of one signal: id, name, scores (w rows of A, C, G, T)


def is_motif(name: str) -> bool:
    """Say whether a signal's name is a motif's, or stands for those of all factors.

    Examples
    --------
    >>> is_motif("motif:CTCF"), is_motif("motifs"), is_motif("accessibility")
    (True, True, False)
    """
    return name.startswith(PREFIX) or name == ALL


def choose_motifs(
    signals: Iterable[str], factors: Sequence[str], collection: Sequence[Any]
) -> tuple[list[str], dict[str, list[dict[str, Any]]], list[str]]:
    """Find the matrices of the motif signals that are asked for.

    Parameters
    ----------
    signals : iterable of str
        As they are given: "motif:NAME", with a factor's name or a motif's id; "motifs" is the motif
        of every factor that has one. Others are left as they are.
    factors : sequence of str
        That the model is asked about.
    collection : sequence of Motif

    Returns
    -------
    signals : list of str
        With "motifs" spelled out.
    matrices : dict
        Signal -> its motifs: id, name, scores (natural log-odds against even bases, w rows of A, C,
        G, T).
    notes : list of str
        Factors without a motif.

    Raises
    ------
    InputError
        If the collection has no motif of a name, or of no factor.

    Examples
    --------
    >>> from epilm.motifs.motif import Motif
    >>> one = Motif("M1", "CTCF", np.array([[9.0, 0, 0, 1]]), True)
    >>> names, matrices, notes = choose_motifs(
    ...     ["accessibility", "motifs"], ["CTCF", "EP300"], [one]
    ... )
    >>> names, [row["id"] for row in matrices["motif:CTCF"]], notes
    (['accessibility', 'motif:CTCF'], ['M1'], ['no motif of EP300 in the collection: no signal of
    it'])
    """
    asked, named, notes = list(signals), [], []
    matrices: dict[str, list[dict[str, Any]]] = {}
    for text in asked:
        if text != ALL:
            named.append(text)
            if is_motif(text):
                matrices[text] = _matrices(collection, text.removeprefix(PREFIX))
            continue
        for factor in factors:
            if (name := PREFIX + factor) in (*asked, *named):
                continue
            try:
                matrices[name] = _matrices(collection, factor)
                named.append(name)
            except InputError:
                notes.append(f"no motif of {factor} in the collection: no signal of it")
        if not matrices:
            raise InputError(
                "no factor has a motif in the collection",
                where="--signals motifs",
                found=", ".join(factors),
                expected=(
                    f"one of its {len(collection)} motifs"
                    if len(collection)
                    else "a collection of motifs"
                ),
                do=(
                    "Name a motif (--signals motif:NAME), give --motifs, or build the store with"
                    " --motifs."
                ),
            )
    return named, matrices, notes


def _matrices(collection: Sequence[Any], name: str) -> list[dict[str, Any]]:
    if not len(collection):
        raise InputError(
            "there are no motifs",
            where=f"--signals {PREFIX}{name}",
            found="a store without motifs",
            do="Give --motifs FILE or jaspar:2018, or build the store with --motifs.",
        )
    return [
        {
            "id": motif.id,
            "name": motif.name,
            "scores": log_odds(motif, UNIFORM, PSEUDOCOUNT).tolist(),
        }
        for motif in motifs_of(collection, name)
    ]


class MotifSignal:
    """Read a motif's scores as a `SignalTable` is read.

    Parameters
    ----------
    store : Store
        Memory maps, or on a device.
    motifs : sequence of {"id", "name", "scores"}
        Log-odds of each; where there are several, the best counts.

    Notes
    -----
    The value of a base is the score in nats of the site whose middle it is (of an even number of
    bases the right one of two), on the better strand; as in the store's factor matrix (A8) nothing
    is below 0. Sites with an N or past an end of the chromosome are 0. Sums go position by
    position, so that all readers and devices give the same bits.
    """

    rows = None  # of no cell type, as mappability

    def __init__(self, store: Any, motifs: Matrices) -> None:
        self.store = store
        device = store.device if isinstance(store.genome, Tensor) else "cpu"
        self._tables: list[tuple[int, Tensor, Tensor]] = []
        for motif in motifs:
            pwm = np.asarray(motif["scores"], np.float64)
            pair = []
            for scores in (pwm, pwm[::-1, ::-1]):
                table = np.full((len(pwm), 5), LOW, np.float32)
                table[:, :4] = np.maximum(scores, LOW)
                pair.append(torch.from_numpy(table).to(device))
            self._tables.append((len(pwm), pair[0], pair[1]))
        self._before = max(width // 2 for width, *_ in self._tables)
        self._after = max(width - 1 - width // 2 for width, *_ in self._tables)

    def windows(self, cells: Any, chroms: Any, starts: Any, width: int) -> Tensor:
        """Score windows.

        Parameters
        ----------
        cells : ignored
            Bases are the same in all cell types.
        chroms, starts : int64 (B,)
            As `Store.bases` takes them.
        width : int
            W.

        Returns
        -------
        float32 (B, W)
        """
        reach = width + self._before + self._after
        codes = self.store.bases(chroms, starts - self._before, reach)
        codes = (
            (codes if isinstance(codes, Tensor) else torch.from_numpy(codes)).clamp(max=4).long()
        )
        best = torch.zeros(len(codes), width, device=codes.device)
        for length, *strands in self._tables:
            first = self._before - length // 2
            for table in strands:
                score = torch.zeros_like(best)
                for position in range(length):
                    here = codes[:, first + position : first + position + width]
                    score += table[position][here]
                best = torch.maximum(best, score)
        return best
