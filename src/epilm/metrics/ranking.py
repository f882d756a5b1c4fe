"""Who is best over many datasets: ranks of ranks, by three rules that do not always agree.

A metric orders the models of a dataset, the metrics' ranks make one rank a dataset,
the datasets' ranks one overall rank. `mean_rank` averages, as the EBERT paper;
`log_rank` sums ln(rank / (n + 1)) over the metrics, which rewards first places;
`challenge` does that on ten resamples and takes the second smallest rank, as the
DREAM challenge. Ties: averaged between metrics, the smallest in printed ranks.
Axes: D datasets, M models, K metrics. Numpy only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epilm.metrics.bin_scores import METRICS

Floats = NDArray[np.float64]
Method = Literal["mean_rank", "log_rank", "challenge"]
METHODS: tuple[str, ...] = get_args(Method)
RULES = {"mean_rank": "mean rank", "log_rank": "log rank", "challenge": "the challenge's rule"}
WORST = 0.5  # of the challenge's mean over datasets, also for a dataset not entered
_DIGITS = 9  # sums of logarithms in another order differ in the last bits; equal scores must tie


def ranks(
    values: ArrayLike, *, ties: Literal["average", "min"] = "average", best: str = "high"
) -> Floats:
    """Rank values, 1 the best; NaN gets no rank.

    Parameters
    ----------
    values : float (M,)
    ties : {"average", "min"}
        Equal values share the mean of their places, or the first of them.
    best : {"high", "low"}

    Returns
    -------
    float64 (M,)
        NaN where the value is NaN.

    Examples
    --------
    >>> ranks([0.9, 0.5, 0.5, 0.1]).tolist(), ranks([3, 1, 1], ties="min", best="low").tolist()
    ([1.0, 2.5, 2.5, 4.0], [3.0, 1.0, 1.0])
    """
    value = np.asarray(values, np.float64)
    value = value if best == "low" else -value
    out = np.full(len(value), np.nan)
    known = np.isfinite(value)
    ordered = np.sort(value[known])
    first = np.searchsorted(ordered, value[known], "left") + 1.0
    last = np.searchsorted(ordered, value[known], "right")
    out[known] = first if ties == "min" else (first + last) / 2
    return out


def dataset_scores(
    metric_ranks: ArrayLike, method: Method = "mean_rank", *, n: int | None = None
) -> Floats:
    """Turn each model's ranks in the metrics of one dataset into one score, lower is better.

    Parameters
    ----------
    metric_ranks : float (M, K)
        NaN rows for models without scores here.
    method : {"mean_rank", "log_rank", "challenge"}
        The mean; or, in the two others, the sum of ln(rank / (n + 1)).
    n : int, optional
        Models ranked; by default the rows that are not NaN.

    Returns
    -------
    float64 (M,)

    Examples
    --------
    >>> placed = [[1, 2, 1, 3], [2, 2, 2, 2], [1, 1, 1, 4]]
    >>> dataset_scores(placed).tolist()
    [1.75, 2.0, 1.75]
    >>> dataset_scores(placed, "log_rank", n=5).round(4).tolist()
    [-5.3753, -4.3944, -5.7807]
    """
    table = np.asarray(metric_ranks, np.float64)
    if method == "mean_rank":
        return table.mean(1).round(_DIGITS)
    n = int(np.isfinite(table).all(1).sum()) if n is None else n
    return np.log(table / (n + 1)).sum(1).round(_DIGITS)


def dataset_ranks(values: ArrayLike, method: Method = "mean_rank") -> Floats:
    """Rank the models of one dataset by their metrics (higher is better).

    Parameters
    ----------
    values : float (M, K)
        A model with any NaN is not ranked.

    Returns
    -------
    float64 (M,)
        1 the best, ties the smallest; NaN where not ranked.

    Examples
    --------
    >>> dataset_ranks([[0.9, 0.5], [0.8, 0.6], [0.7, 0.1]]).tolist()
    [1.0, 1.0, 3.0]
    """
    return ranks(dataset_scores(_metric_ranks(values), method), ties="min", best="low")


def overall_scores(ranked: ArrayLike, method: Method = "mean_rank") -> Floats:
    """Turn ranks in datasets into one score a model, lower is better.

    Parameters
    ----------
    ranked : float (D, M)
        NaN where a model was not entered: it counts as last of all models (in
        "challenge" as 0.5), so that leaving out hard datasets does not pay.
    method : {"mean_rank", "log_rank", "challenge"}
        The mean rank, or in "challenge" the mean of min(0.5, rank / (n + 1)), with n the
        models entered in the dataset.

    Returns
    -------
    float64 (M,)

    Examples
    --------
    >>> overall_scores([[1, 2, 3], [1, 3, 2]]).tolist()
    [1.0, 2.5, 2.5]
    >>> overall_scores([[1, 2, 3], [1, 3, 2]], "challenge").tolist()
    [0.25, 0.5, 0.5]
    """
    table = np.asarray(ranked, np.float64)
    if method != "challenge":
        return np.where(np.isnan(table), table.shape[1], table).mean(0).round(_DIGITS)
    entered = np.isfinite(table).sum(1, keepdims=True)
    shares = np.minimum(WORST, table / (entered + 1))
    return np.where(np.isnan(shares), WORST, shares).mean(0).round(_DIGITS)


def second_smallest(parts: ArrayLike) -> Floats:
    """Give the second smallest over the first axis; NaN where all are NaN.

    Examples
    --------
    >>> second_smallest([[3, 1], [1, 1], [2, 5]]).tolist()
    [2.0, 1.0]
    """
    table = np.sort(np.asarray(parts, np.float64), axis=0)
    return table[1]


def _metric_ranks(values: ArrayLike) -> Floats:
    table = np.asarray(values, np.float64).copy()
    table[~np.isfinite(table).all(1)] = np.nan  # entered whole or not at all
    return np.stack([ranks(column) for column in table.T], 1)


@dataclass(frozen=True)
class Leaderboard:
    """Models ranked over datasets.

    Attributes
    ----------
    method : str
    models : tuple of str (M,)
    datasets : tuple of str (D,)
    metrics : tuple of str (K,)
    ranks : float64 (D, M)
        Of each dataset, ties the smallest; NaN where not entered.
    dataset_scores : float64 (D, M) or None
        What those ranks come from (lower is better); None where only ranks are known.
    overall_scores : float64 (M,)
        Lower is better; of "challenge" the mean over the ten resamples.
    overall : float64 (M,)
        The last line: rank over all datasets. "challenge": second smallest of the ten
        resamples' ranks, so that two models may be first.
    values : float64 (D, M, K) or None
        The metrics themselves.
    notes : list of str
        What is missing or does not fit.
    """

    method: str
    models: tuple[str, ...]
    datasets: tuple[str, ...]
    metrics: tuple[str, ...]
    ranks: Floats
    dataset_scores: Floats | None
    overall_scores: Floats
    overall: Floats
    values: Floats | None = None
    notes: list[str] = field(default_factory=list)

    def title(self) -> str:
        """Say what ranks these are."""
        return f"Ranks by {RULES[self.method]}" + (
            "" if self.values is not None else " (published)"
        )

    def score_name(self) -> str:
        """Name what the overall scores are."""
        return "mean share" if self.method == "challenge" else "mean rank"

    def order(self) -> list[int]:
        """Indices of the models, the best first; equal ones in the order given."""
        return sorted(
            range(len(self.models)), key=lambda m: (self.overall[m], self.overall_scores[m])
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is unknown is None."""

        def plain(array: Floats | None) -> Any:
            if array is None:
                return None
            flat = [
                None if np.isnan(v) else int(v) if v == int(v) else float(v)
                for v in array.reshape(-1)
            ]
            for size in array.shape[:0:-1]:
                flat = [flat[i : i + size] for i in range(0, len(flat), size)]  # type: ignore[misc]
            return flat

        return {
            "method": self.method,
            "models": list(self.models),
            "datasets": list(self.datasets),
            "metrics": list(self.metrics),
            "ranks": plain(self.ranks),
            "dataset_scores": plain(self.dataset_scores),
            "overall_scores": plain(self.overall_scores),
            "overall": plain(self.overall),
            "values": plain(self.values),
            "notes": self.notes,
        }

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> "Leaderboard":
        """Open what `as_dict` gave.

        Examples
        --------
        >>> board = rank_by_ranks(["m", "n"], ["A", "B"], [[1, 2], [1, np.nan]])
        >>> Leaderboard.from_dict(board.as_dict()).ranks.tolist()
        [[1.0, 2.0], [1.0, nan]]
        """

        def array(name: str) -> Floats | None:
            return None if kept[name] is None else np.array(kept[name], np.float64)  # None is NaN

        ranked, scores, last = array("ranks"), array("overall_scores"), array("overall")
        assert ranked is not None
        assert scores is not None
        assert last is not None
        models, datasets, metrics = (tuple(kept[k]) for k in ("models", "datasets", "metrics"))
        return cls(
            kept["method"],
            models,
            datasets,
            metrics,
            ranked,
            array("dataset_scores"),
            scores,
            last,
            array("values"),
            list(kept["notes"]),
        )


def rank_models(
    table: Mapping[str, Mapping[str, Mapping[str, Any]]],
    method: Method = "mean_rank",
    *,
    metrics: Sequence[str] = METRICS,
    models: Sequence[str] = (),
    common: bool = False,
) -> Leaderboard:
    """Rank models by their metrics on several datasets.

    Parameters
    ----------
    table : mapping
        Dataset -> model -> scores: the metrics by name; for "challenge" also
        "resamples", a list of ten such dicts (`score_resamples`). "where", a file, is named in
        notes.
    method : {"mean_rank", "log_rank", "challenge"}
    metrics : sequence of str
        Ranked with equal weight, higher is better.
    models : sequence of str
        Order of the columns; as first met by default.
    common : bool
        Rank only over the datasets that every model has.

    Returns
    -------
    Leaderboard

    Raises
    ------
    ValueError
        If the method is unknown, no dataset is left, a metric is missing, or "challenge" lacks
        resamples.

    Examples
    --------
    >>> def scores(x, y):
    ...     return {"auroc": x, "auprc_dg": x, "recall_at_fdr10": x, "recall_at_fdr50": y}
    >>> board = rank_models(
    ...     {"A": {"m": scores(0.9, 0.2), "n": scores(0.8, 0.3)}, "B": {"n": scores(0.7, 0.1)}}
    ... )
    >>> board.ranks.tolist(), board.overall_scores.tolist(), board.notes
    ([[1.0, 2.0], [nan, 1.0]], [1.5, 1.5], ['m has no scores for B: it counts as last there'])
    """
    if method not in METHODS:
        raise ValueError(f"the method {method!r} is none of {', '.join(METHODS)}")
    names = tuple(models) or tuple(dict.fromkeys(m for row in table.values() for m in row))
    notes: list[str] = []
    datasets = _usable(table, names, metrics, common, notes)
    if not datasets:
        raise ValueError(
            "no dataset is left to rank on" + (f": {'; '.join(notes)}" if notes else "")
        )
    values = np.full((len(datasets), len(names), len(metrics)), np.nan)
    for d, dataset in enumerate(datasets):
        for m, model in enumerate(names):
            if model in table[dataset]:
                values[d, m] = [_metric(table[dataset][model], k, dataset, model) for k in metrics]
    _note_missing(table, datasets, names, metrics, method, notes)
    if method != "challenge":
        scores = np.stack([dataset_scores(_metric_ranks(v), method) for v in values])
        ranked = np.stack([ranks(s, ties="min", best="low") for s in scores])
        overall = overall_scores(ranked, method)
        last = ranks(overall, ties="min", best="low")
        return Leaderboard(
            method, names, datasets, tuple(metrics), ranked, scores, overall, last, values, notes
        )
    parts = _resampled(table, datasets, names, metrics, np.isnan(values).any(2))  # (R, D, M, K)
    part_scores = np.stack(
        [[dataset_scores(_metric_ranks(v), method) for v in part] for part in parts]
    )
    part_ranks = np.stack(
        [[ranks(s, ties="min", best="low") for s in part] for part in part_scores]
    )
    part_overall = np.stack([overall_scores(r, method) for r in part_ranks])
    part_last = np.stack([ranks(o, ties="min", best="low") for o in part_overall])
    return Leaderboard(
        method,
        names,
        datasets,
        tuple(metrics),
        second_smallest(part_ranks),
        part_scores.mean(0),
        part_overall.mean(0).round(_DIGITS),
        second_smallest(part_last),
        values,
        notes,
    )


def rank_by_ranks(
    models: Sequence[str], datasets: Sequence[str], ranked: ArrayLike, method: Method = "mean_rank"
) -> Leaderboard:
    """Make the overall line from dataset ranks alone, as published tables give them.

    Parameters
    ----------
    models, datasets : sequence of str (M,), (D,)
    ranked : float (D, M)
    method : {"mean_rank", "challenge"}
        "challenge" is its mean over datasets on these ranks, without resamples.

    Examples
    --------
    >>> from epilm.metrics.published import dream_ranks
    >>> table = dream_ranks()
    >>> rank_by_ranks(table.models, table.datasets, table.ranks).overall.astype(int).tolist()
    [3, 1, 2, 4, 5]
    """
    array = np.asarray(ranked, np.float64)
    if array.shape != (len(datasets), len(models)):
        raise ValueError(
            f"ranks of shape {array.shape}; expected {len(datasets)} datasets by {len(models)}"
            " models"
        )
    overall = overall_scores(array, method)
    last = ranks(overall, ties="min", best="low")
    return Leaderboard(method, tuple(models), tuple(datasets), (), array, None, overall, last)


def _usable(
    table: Mapping[str, Mapping[str, Mapping[str, Any]]],
    names: tuple[str, ...],
    metrics: Sequence[str],
    common: bool,
    notes: list[str],
) -> tuple[str, ...]:
    """Datasets in order, without those nobody can be ranked on; what differs between models is
    noted.
    """
    kept = []
    for dataset, row in table.items():
        scored = [
            m for m in names if m in row and all(_finite(row[m].get(k, 0.0)) for k in metrics)
        ]
        if not scored:
            notes.append(f"{dataset} is left out: no model has defined metrics there")
            continue
        if common and len(scored) < len(names):
            lacking = ", ".join(m for m in names if m not in scored)
            notes.append(f"{dataset} is left out: not every model has it (without: {lacking})")
            continue
        for count, what in (("n", "bins"), ("positives", "bound bins")):
            met = {m: row[m][count] for m in scored if row[m].get(count) is not None}
            if len(set(met.values())) > 1:
                listed = ", ".join(f"{m} {v:,}" for m, v in met.items())
                notes.append(f"{dataset}: the models were scored on different {what} ({listed})")
        kept.append(dataset)
    return tuple(kept)


def _note_missing(
    table: Mapping[str, Mapping[str, Mapping[str, Any]]],
    datasets: tuple[str, ...],
    names: tuple[str, ...],
    metrics: Sequence[str],
    method: str,
    notes: list[str],
) -> None:
    """Name the models without scores for a dataset, and those of which one metric is not defined
    there.
    """
    cost = "0.5 there" if method == "challenge" else "last there"
    lacking = {
        (dataset, model): (
            [k for k in metrics if not _finite(row[model].get(k, 0.0))]
            if model in row
            else list(metrics)
        )
        for dataset, row in table.items()
        for model in names
    }
    for model in names:
        missing = [dataset for dataset in datasets if len(lacking[dataset, model]) == len(metrics)]
        if missing:
            shown = ", ".join(missing[:3]) + (
                f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            )
            notes.append(f"{model} has no scores for {shown}: it counts as {cost}")
    counts = f": it is ranked by all {len(metrics)} metrics or not, and counts as {cost}"
    for (dataset, model), undefined in lacking.items():
        if 0 < len(undefined) < len(metrics):
            where = (
                f" ({table[dataset][model]['where']})" if table[dataset][model].get("where") else ""
            )
            notes.append(
                f"{model} has no {', '.join(undefined)} for"
                f" {dataset}{where}{counts if dataset in datasets else ''}"
            )


def _resampled(
    table: Mapping[str, Mapping[str, Mapping[str, Any]]],
    datasets: tuple[str, ...],
    names: tuple[str, ...],
    metrics: Sequence[str],
    absent: NDArray[np.bool_],
) -> Floats:
    parts = np.full((10, len(datasets), len(names), len(metrics)), np.nan)
    for d, dataset in enumerate(datasets):
        for m, model in enumerate(names):
            if absent[d, m]:
                continue
            given = table[dataset][model].get("resamples") or []
            if len(given) != 10:
                raise ValueError(
                    f"the challenge's rule needs scores of ten resamples; {model} on {dataset} has"
                    f" {len(given)}"
                )
            for r, part in enumerate(given):
                parts[r, d, m] = [_metric(part, k, dataset, model) for k in metrics]
    return parts


def _metric(scores: Mapping[str, Any], name: str, dataset: str, model: str) -> float:
    if name not in scores:
        raise ValueError(f"{model} on {dataset} has no {name}")
    return float("nan") if scores[name] is None else float(scores[name])


def _finite(value: Any) -> bool:
    return value is not None and bool(np.isfinite(value))
