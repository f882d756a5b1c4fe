"""Which motifs of a store have a site at each token: the truth of `objectives.motif_sites`.

Scores and cuts are those of the store's factor matrix (`epilm build --motifs`), so that a site is
what `statistic=binary` calls one. On a CPU the scanner of the motifs looks for them
(`epilm.motifs.scan`, numba); elsewhere a product with the score matrices, a piece at a time, what
lies near a cut being scored again in double precision: the same sites. Sites are rare, so they
are handed over as a list. Needs torch and numpy alone. Axes: B windows or regions, W bases, T
tokens, M motifs or clusters of them, E sites.
"""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from epilm.errors import InputError, RecipeError, StoreError
from epilm.motifs.clusters import clusters
from epilm.motifs.device_scorer import LOW
from epilm.motifs.log_odds import UNIFORM, log_odds
from epilm.motifs.names import motifs_of
from epilm.objectives.table import MotifSitesSpec
from epilm.store.motifs import stored_motif
from epilm.store.reader import Store

LETTERS = 5  # A, C, G, T, N
AT_ONCE = 1 << 25  # bytes of scores, or of the bases spread out for them
NEAR = 0.05  # scores this near to a cut are computed again: tf32 errs by a hundredth at most


def asked_motifs(store: Store, factors: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Choose motifs of a store by factor, in the store's order; all where none is named.

    Raises
    ------
    RecipeError
        If the store has none of a factor.
    """
    if not factors:
        return list(store.motifs)
    rows = [
        SimpleNamespace(id=str(row["id"]), name=row.get("name") or row["id"])
        for row in store.motifs
    ]
    wanted: set[str] = set()
    for factor in factors:
        try:
            wanted |= {row.id for row in motifs_of(rows, factor)}
        except InputError as error:
            raise RecipeError(
                "the store has no motif of that name",
                where="objectives.motif_sites.factors",
                found=factor,
                expected=error.expected,
            ) from None
    return [row for row in store.motifs if str(row["id"]) in wanted]


def n_asked(store: Store, spec: MotifSitesSpec) -> int:
    """Count the columns that a model is asked about: motifs, or clusters of them; 0 where off."""
    if spec.weight <= 0:
        return 0
    motifs = asked_motifs(store, spec.factors)
    return int(_columns(motifs, spec.alike).max()) + 1 if motifs else 0


def names_asked(store: Store, spec: MotifSitesSpec) -> list[str]:
    """Name the columns that a model is asked about, (M,): a motif's name, with its id where
    several bear it; of a cluster the names joined by "+".
    """
    if spec.weight <= 0:
        return []
    motifs = asked_motifs(store, spec.factors)
    plain = [str(row.get("name") or row["id"]) for row in motifs]
    own = [
        f"{name}_{row['id']}" if plain.count(name) > 1 else name
        for name, row in zip(plain, motifs, strict=True)
    ]
    of_column = _columns(motifs, spec.alike)
    return [
        "+".join(name for name, column in zip(own, of_column, strict=True) if column == number)
        for number in range(n_asked(store, spec))
    ]


def kept_names(store: Store, spec: MotifSitesSpec) -> dict[str, Any]:
    """Give what a checkpoint keeps: the names of its columns, where there are any."""
    names = names_asked(store, spec)
    return {"motif_site_names": names} if names else {}


def _columns(motifs: Sequence[dict[str, Any]], alike: float | None) -> np.ndarray:
    """Column of each motif, int64."""
    if alike is None:
        return np.arange(len(motifs))
    return clusters([stored_motif(row) for row in motifs], alike)


class Sites(NamedTuple):
    """Sites of some rows of bases; a base may be the middle of several.

    row, middle, column : int64 (E,)
        Row of the codes, base of the row, motif or cluster.
    """

    row: Tensor
    middle: Tensor
    column: Tensor


class SiteFinder:
    """Scores and cuts of a store's motifs.

    Parameters
    ----------
    store : Store
    asked : MotifSitesSpec
        Which motifs, and what counts as one.
    device : torch.device or str
        Where codes come from.
    reach : int, optional
        Bases that a model reads in a row at most: a motif that is longer has no site.
    key : str
        Of the recipe, that says the reach.

    Attributes
    ----------
    n : int
        M.

    Raises
    ------
    StoreError
        If the store has no motifs, or they came without matrices and cuts.
    RecipeError
        If it has none of a name, or a motif is longer than what is read.
    """

    def __init__(
        self,
        store: Store,
        asked: MotifSitesSpec = MotifSitesSpec(),  # noqa: B008, frozen
        device: torch.device | str = "cpu",
        *,
        reach: int | None = None,
        key: str = "samples.window_bp",
    ) -> None:
        if not store.motifs or not all(
            motif.get("matrix") and "threshold" in motif for motif in store.motifs
        ):
            raise StoreError(
                "the store has no motifs to look for",
                where=str(store.path),
                found="no motifs" if not store.motifs else "motifs without matrices",
                do="Build it with --motifs FILE, or set objectives.motif_sites.weight to 0.",
            )
        motifs = asked_motifs(store, asked.factors)
        about = store.info.factors or {}
        backgrounds = about.get("backgrounds") or [UNIFORM]
        if len(backgrounds) > 1:
            raise StoreError(
                "the store's motifs have more than one cut",
                where=str(store.path),
                found=f"{len(backgrounds)} backgrounds",
                expected="one",
                do="Build it with --background uniform or genome.",
            )
        _check_reach(motifs, reach, key)
        how = backgrounds[0], float(about.get("pseudocount", 1.0))
        pwms = [log_odds(stored_motif(row), *how) for row in motifs]
        # None: no word of the motif is rare enough, and it has no site.
        given = [row["threshold"] for row in motifs]
        cuts = np.array([np.inf if cut is None else float(cut) for cut in given])
        columns = _columns(motifs, asked.alike)
        self.n = int(columns.max()) + 1
        self._middles = torch.tensor([len(pwm) // 2 for pwm in pwms])
        self._column = torch.from_numpy(columns)
        self._scanner = _scanner(pwms, cuts) if torch.device(device).type == "cpu" else None
        self._product = None if self._scanner else _Product(pwms, cuts, device)
        self._middles, self._column = self._middles.to(device), self._column.to(device)

    def sites(self, codes: Tensor) -> Sites:
        """Find the sites of rows of bases, on both strands.

        Parameters
        ----------
        codes : uint8 (B, W)
            Bases as they are read, N above 3; no site reaches over an N or an end of the row.

        Returns
        -------
        Sites
            By their middle base (of an even number of bases the right one of two).
        """
        if self._product is not None:
            row, middle, motif = self._product(codes)
            return Sites(row, middle, self._column[motif])
        assert self._scanner is not None
        rows, bases = codes.shape
        flat = np.full((rows, bases + 1), 4, np.uint8)  # an N between two rows
        flat[:, :bases] = codes.numpy()
        # Where both strands hit at one start one of them is enough: the middle is the same.
        hits = self._scanner.hits(flat.reshape(-1), 0, flat.size, dedup=True)
        motif, start = torch.from_numpy(hits.motif.astype(np.int64)), torch.from_numpy(hits.start)
        row = start.div(bases + 1, rounding_mode="floor")
        return Sites(row, start - row * (bases + 1) + self._middles[motif], self._column[motif])

    def __call__(self, codes: Tensor, stride: int, tokens: int) -> Tensor:
        """Say which tokens hold the middle of a site.

        Parameters
        ----------
        codes : uint8 (B, W)
        stride, tokens : int
            Token t is the bases from t * stride to where the next one begins.

        Returns
        -------
        bool (B, T, M)
        """
        sites = self.sites(codes)
        token = sites.middle.div(stride, rounding_mode="floor")
        inside = token < tokens
        there = torch.zeros((len(codes), tokens, self.n), dtype=torch.bool, device=codes.device)
        there[sites.row[inside], token[inside], sites.column[inside]] = True
        return there


def _check_reach(motifs: Sequence[dict[str, Any]], reach: int | None, key: str) -> None:
    """Refuse motifs that what is read can never hold."""
    if reach is None:
        return
    long = [row for row in motifs if len(row["matrix"]) > reach]
    if not long:
        return
    worst = max(long, key=lambda row: len(row["matrix"]))
    names = ", ".join(str(row.get("name") or row["id"]) for row in long[:5])
    raise RecipeError(
        "motifs are longer than what the model reads of the sequence: no site of theirs fits",
        where=f"recipe, key {key}",
        found=f"{reach} bp, and {len(long)} longer: {names}{', ...' if len(long) > 5 else ''}",
        expected=f"at least {len(worst['matrix'])} bp",
        do=f"Raise {key}, or name the motifs to ask about in objectives.motif_sites.factors.",
    )


def _scanner(pwms: Sequence[np.ndarray], cuts: np.ndarray) -> Any:
    """The compiled scanner, where numba is there (a GPU machine may have torch alone)."""
    try:
        from epilm.motifs.scan import HitScanner

        return HitScanner(pwms, cuts)
    except (ImportError, RuntimeError):  # no numba, or nowhere it could keep its cache
        return None


class _Product:
    """All motifs in one product: their middles in one column, so that one base is that of all."""

    def __init__(
        self, pwms: Sequence[np.ndarray], cuts: np.ndarray, device: torch.device | str
    ) -> None:
        self.n = len(pwms)
        self._cuts = torch.tensor(cuts, dtype=torch.float64, device=device)
        self._before = max(len(pwm) // 2 for pwm in pwms)
        self._after = max(len(pwm) - 1 - len(pwm) // 2 for pwm in pwms)
        self._span = self._before + self._after + 1
        table = np.zeros((self._span, LETTERS, 2, self.n), np.float64)
        for number, pwm in enumerate(pwms):
            begin = self._before - len(pwm) // 2
            rows = slice(begin, begin + len(pwm))
            table[rows, 4, :, number] = LOW
            for strand, scores in enumerate((pwm, pwm[::-1, ::-1])):
                table[rows, :4, strand, number] = np.maximum(scores, LOW)
        self._exact = torch.from_numpy(table).to(device)
        # (span, LETTERS, 2, M) -> (span * LETTERS, 2 * M)
        self._table = self._exact.float().reshape(-1, 2 * self.n)

    def __call__(self, codes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Rows, middles and motifs of all sites, int64 (E,) each."""
        bases = codes.shape[1]
        reach = torch.nn.functional.pad(codes.clamp(max=4), (self._before, self._after), value=4)
        rows_at_once = max(1, AT_ONCE // (4 * bases * max(LETTERS * self._span, 2 * self.n)))
        parts = []
        for at in range(0, len(codes), rows_at_once):
            part = reach[at : at + rows_at_once]
            # (n, W) -> one of LETTERS (n, W * LETTERS)
            hot = (part[..., None] == torch.arange(LETTERS, device=codes.device)).float().flatten(1)
            words = hot.unfold(1, LETTERS * self._span, LETTERS)  # (n, bases, LETTERS * span)
            scores = words.reshape(-1, LETTERS * self._span) @ self._table  # (n * bases, 2 * M)
            scores = scores.view(len(part), bases, 2, self.n)  # (n, bases, strand, M)
            near = (scores >= self._cuts - NEAR).nonzero()  # (E', 4)
            row, middle, strand, motif = near.unbind(1)
            columns = torch.arange(self._span, device=row.device)
            letters = part[row[:, None], middle[:, None] + columns]
            exact = self._exact[columns, letters.long(), strand[:, None], motif[:, None]].sum(1)
            kept = exact >= self._cuts[motif]
            parts.append(torch.stack([row + at, middle, motif])[:, kept])
        row, middle, motif = torch.cat(parts, 1)
        return row, middle, motif
