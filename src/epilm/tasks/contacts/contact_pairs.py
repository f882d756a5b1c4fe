"""Pairs that touch and pairs that do not, from a contact map or from a list, with their bases.

Of a map the value of two bins over the mean at their distance decides; of a list its pairs touch,
and the others are pairs of the same loci that are not in it. Axes: N pairs, U loci.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epilm.errors import InputError
from epilm.genome.chromosomes import check_names, few
from epilm.genome.contact_maps import ChromContacts, Contacts, read_contacts
from epilm.tasks.base import labelled
from epilm.tasks.contacts.contacts_options import ContactsData
from epilm.tasks.contacts.pair_draws import distance_bins, drawn, match, within_reach
from epilm.tasks.contacts.pair_files import PairTable, holds_pairs, read_pairs
from epilm.tasks.locus_pairs import PairedSequences, paired
from epilm.tasks.reference import Reference, open_reference
from epilm.tasks.splits import parse_interval

Loci = dict[str, NDArray[np.int64]]  # chromosome -> middles, rising, none twice
NAMES = ("apart", "contact")
_BLOCK = 1 << 18
_ALL = 0xA11  # salt of the pairs that are drawn before they are matched


def contact_rows(
    data: str | Path, options: ContactsData, genome: Any, seed: int
) -> PairedSequences:
    """Give labelled pairs of loci with their bases; not yet split.

    Raises
    ------
    InputError
        Naming file and line; if no pair is left.
    """
    if genome is None:
        raise InputError(
            "pairs of loci need the genome they lie on",
            where=str(data),
            do="Pass --genome FASTA, a .2bit or a store.",
        )
    reference = open_reference(genome)
    if holds_pairs(data):
        pairs = _within(read_pairs(data), options)
        if pairs.labels is None:
            _refuse_oe(options, data)
            pairs = _with_negatives(pairs, options, seed)
    else:
        pairs = _from_map(Path(data), options, reference, seed)
    return with_bases(pairs, options, reference, str(data))


def _refuse_oe(options: ContactsData, data: str | Path) -> None:
    if options.asked == "oe":
        raise InputError(
            "a list of pairs that touch has no observed over expected",
            where=str(data),
            do="Give a contact map, or a table with a column label.",
        )


def _within(pairs: PairTable, options: ContactsData) -> PairTable:
    """Pairs in the range of distances, each once."""
    notes = list(pairs.notes)
    distance = pairs.b - pairs.a
    kept = (distance >= options.min_distance) & (distance <= options.max_distance)
    if far := int((~kept).sum()):
        notes.append(
            f"{far} pairs nearer than {options.min_distance:,} or farther than"
            f" {options.max_distance:,} bp left out"
        )
    keys = [f"{c}:{a}:{b}" for c, a, b in zip(pairs.chrom, pairs.a, pairs.b, strict=True)]
    _, first = np.unique(keys, return_index=True)
    once = np.zeros(len(pairs), bool)
    once[first] = True
    if twice := int((kept & ~once).sum()):
        notes.append(f"{twice} pairs that are there already left out")
    return pairs.take(kept & once, notes)


def _loci_of(path: Any) -> Loci:
    """Middles of the intervals of a BED."""
    from epilm.genome.peaks import read_peaks

    table = read_peaks(path)
    middle = ((table["start"] + table["end"]) // 2).to_numpy(np.int64)
    chrom = table["chrom"].astype(str).to_numpy()
    return {str(name): np.unique(middle[chrom == name]) for name in np.unique(chrom)}


def candidates(
    first: NDArray[np.int64], second: NDArray[np.int64] | None, options: ContactsData
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Middles (a, b) of all pairs in the range of distances, a before b: of one kind of loci, or of
    one of either kind.
    """
    reach = options.min_distance, options.max_distance
    if second is None:
        a, b = within_reach(first, first, *reach)
        return first[a], first[b]
    a, b = within_reach(first, second, *reach)
    d, c = within_reach(second, first, *reach)
    return np.concatenate([first[a], second[d]]), np.concatenate([second[b], first[c]])


def _with_negatives(pairs: PairTable, options: ContactsData, seed: int) -> PairTable:
    """Beside pairs that touch, pairs of the same loci (or of the anchors) that are not listed."""
    anchors = None if options.anchors is None else _loci_of(options.anchors)
    partners = None if options.partners is None else _loci_of(options.partners)
    pairs = pairs.take(drawn(len(pairs), options.most, seed, _ALL), pairs.notes)
    chroms, firsts, seconds, origin = [], [], [], list(pairs.origin)
    for chrom in np.unique(pairs.chrom).tolist():
        mine = pairs.chrom == chrom
        if anchors is None:
            first = np.unique(np.concatenate([pairs.a[mine], pairs.b[mine]]))
            second = None
        else:
            first = anchors.get(chrom, np.zeros(0, np.int64))
            second = None if partners is None else partners.get(chrom, np.zeros(0, np.int64))
        a, b = candidates(first, second, options)
        listed = _near(a, b, pairs.a[mine], pairs.b[mine], options.locus)
        chroms.append(np.full(int((~listed).sum()), chrom))
        firsts.append(a[~listed])
        seconds.append(b[~listed])
        origin += [f"a pair that is not in {pairs.origin[0].split(':')[0]}"] * len(firsts[-1])
    every = PairTable(
        np.concatenate([pairs.chrom, *chroms]),
        np.concatenate([pairs.a, *firsts]),
        np.concatenate([pairs.b, *seconds]),
        np.repeat([1.0, 0.0], [len(pairs), sum(map(len, firsts))]),
        origin,
        list(pairs.notes),
    )
    return balanced(every, options, seed)


def _near(
    a: NDArray[np.int64],
    b: NDArray[np.int64],
    listed_a: NDArray[np.int64],
    listed_b: NDArray[np.int64],
    locus: int,
) -> NDArray[np.bool_]:
    """Whether both loci of a pair lie within a locus of those of a listed one."""
    cell = {(int(x) // locus, int(y) // locus) for x, y in zip(listed_a, listed_b, strict=True)}
    around = {(x + i, y + j) for x, y in cell for i in (-1, 0, 1) for j in (-1, 0, 1)}
    code = np.array([x * (1 << 31) + y for x, y in around], np.int64)
    return np.isin((a // locus) * (1 << 31) + b // locus, code)


def balanced(pairs: PairTable, options: ContactsData, seed: int) -> PairTable:
    """As many pairs that do not touch as are asked for, at each distance of a chromosome (of a part
    that is held out), or of any distance.
    """
    assert pairs.labels is not None
    _, chrom = np.unique(pairs.chrom, return_inverse=True)
    bins = distance_bins(pairs.b - pairs.a) if options.negatives == "matched" else 0
    group = (_part(pairs, options) * 1000 + bins) * (int(chrom.max(initial=0)) + 1) + chrom
    yes, no = np.flatnonzero(pairs.labels == 1), np.flatnonzero(pairs.labels == 0)
    taken = match(group[yes], group[no], options.ratio, seed)
    notes = [*pairs.notes]
    alike = options.negatives == "matched"
    how = "as many at each distance (4 % alike)" if alike else "any distance"
    notes.append(
        f"{len(taken.yes)} pairs touch, {len(taken.no)} do not: {how}, by chromosome and part"
    )
    if taken.lacking:
        notes.append(
            f"{taken.lacking} pairs that touch have no partner at their distance: left out"
        )
    chosen = np.sort(np.concatenate([yes[taken.yes], no[taken.no]]))
    return pairs.take(chosen, notes)


def _part(pairs: PairTable, options: ContactsData) -> NDArray[np.int64]:
    """Number of the held-out region that a pair lies in, (N,); 0 of none."""
    part = np.zeros(len(pairs), np.int64)
    half = options.locus // 2
    held_out = (*getattr(options, "valid", ()), *getattr(options, "test", ()))
    for number, text in enumerate(held_out, 1):
        where = parse_interval(text)
        inside = (pairs.a - half >= where.start) & (pairs.b + half <= where.end)
        part[inside & (pairs.chrom == where.chrom)] = number
    return part


def _from_map(path: Path, options: ContactsData, reference: Reference, seed: int) -> PairTable:
    """Pairs of bins, or of anchors, of a contact map."""
    contacts = read_contacts(path, options.resolution, options.chrom, options.balanced)
    notes = list(contacts.notes)
    if not options.balanced:
        contacts = replace(
            contacts, chroms={name: divided(one) for name, one in contacts.chroms.items()}
        )
        notes.append("counts divided by the coverage of both bins")
    unknown = check_names(contacts.chroms, reference.sizes, str(path))
    if unknown:
        notes.append(f"chromosomes that the genome lacks left out: {few(unknown)}")
    anchors = None if options.anchors is None else _loci_of(options.anchors)
    partners = None if options.partners is None else _loci_of(options.partners)
    parts, dropped = [], 0
    for chrom, one in contacts.chroms.items():
        if chrom in unknown or not len(one.keys):
            continue
        loci: list[NDArray[np.int64] | None] = []
        for given in (anchors, partners):
            if given is None and (loci or anchors is not None):
                loci.append(None)
                continue
            kept, lost = _covered(chrom, one, given, contacts.resolution)
            dropped += lost
            loci.append(kept)
        assert loci[0] is not None
        a, b = candidates(loci[0], loci[1], options)
        if len(a):
            parts.append((chrom, a, b, observed_over_expected(contacts, chrom, a, b)))
    if dropped:
        notes.append(f"{dropped} loci in bins without any contact left out")
    if not parts:
        raise InputError(
            "no pair of loci is in the range of distances",
            where=str(path),
            found="; ".join(notes) or "no pair",
            expected=f"pairs {options.min_distance:,} to {options.max_distance:,} bp apart",
            do="Widen --min-distance and --max-distance.",
        )
    chroms = np.concatenate([np.full(len(a), chrom) for chrom, a, _, _ in parts])
    a, b, over = (np.concatenate([part[n] for part in parts]) for n in (1, 2, 3))
    labels = np.full(len(a), np.nan)
    if options.asked == "oe":
        kept = np.flatnonzero(over > 0)
        labels[kept] = np.log(over[kept])
        notes.append(f"{len(a) - len(kept)} of {len(a)} pairs without a contact left out")
        kept = kept[drawn(len(kept), options.most, seed, _ALL)]
    else:
        labels[over >= options.enriched], labels[over <= options.depleted] = 1, 0
        notes.append(
            f"of {len(a)} pairs {int((labels == 1).sum())} from {options.enriched:g} times the mean"
            f" at their distance on touch, {int((labels == 0).sum())} up to {options.depleted:g}"
            f" times do not, {int(np.isnan(labels).sum())} are between"
        )
        yes = np.flatnonzero(labels == 1)
        yes = yes[drawn(len(yes), options.most, seed, _ALL)]
        kept = np.sort(np.concatenate([yes, np.flatnonzero(labels == 0)]))
    every = PairTable(chroms[kept], a[kept], b[kept], labels[kept], [path.name] * len(kept), notes)
    return every if options.asked == "oe" else balanced(every, options, seed)


def divided(one: ChromContacts) -> ChromContacts:
    """Values over the coverage of both bins, each 1 on the mean (vanilla coverage).

    Examples
    --------
    >>> one = ChromContacts(2, np.array([0, 1, 3]), np.array([8, 4, 2], np.float32))
    >>> divided(one).values.tolist()  # coverage 20 and 8, mean 14: 8 / (20 / 14) ** 2, ...
    [3.9200000762939453, 4.900000095367432, 6.125]
    """
    i, j = one.keys // one.n_bins, one.keys % one.n_bins
    coverage = np.bincount(i, one.values, one.n_bins) + np.bincount(j, one.values, one.n_bins)
    mean = coverage[coverage > 0].mean() if (coverage > 0).any() else 1.0
    share = coverage / mean
    values = one.values / np.maximum(share[i] * share[j], 1e-12)
    return ChromContacts(one.n_bins, one.keys, values.astype(np.float32))


def _covered(
    chrom: str, one: ChromContacts, given: Loci | None, resolution: int
) -> tuple[NDArray[np.int64], int]:
    """Loci in bins that have contacts, and how many lie in none."""
    used = np.unique(np.concatenate([one.keys // one.n_bins, one.keys % one.n_bins]))
    if given is None:
        return used * resolution + resolution // 2, 0
    loci = given.get(chrom, np.zeros(0, np.int64))
    inside = np.isin(loci // resolution, used)
    return loci[inside], int((~inside).sum())


def observed_over_expected(
    contacts: Contacts, chrom: str, a: NDArray[np.int64], b: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Value of each pair over the mean at its distance, float64 (N,)."""
    out = np.zeros(len(a))
    for at in range(0, len(a), _BLOCK):
        some = slice(at, at + _BLOCK)
        centres = np.stack([a[some], b[some]], 1)
        out[some] = contacts.submatrix(chrom, centres, "oe")[:, 0, 1]
    return out


def with_bases(
    pairs: PairTable, options: ContactsData, reference: Reference, where: str
) -> PairedSequences:
    """Cut the bases of both loci of pairs, and leave out those that have none.

    Raises
    ------
    InputError
        If none is left.
    """
    notes = list(pairs.notes)
    unknown = (
        set(check_names(pairs.chrom.tolist(), reference.sizes, where)) if len(pairs) else set()
    )
    codes: list[NDArray[np.uint8]] = []
    spots: list[tuple[str, int]] = []
    number: dict[tuple[str, int], int] = {}
    over, empty = 0, 0
    for chrom in np.unique(pairs.chrom).tolist():
        if chrom in unknown:
            continue
        bases, mine = reference.codes(chrom), pairs.chrom == chrom
        for middle in np.unique(np.concatenate([pairs.a[mine], pairs.b[mine]])).tolist():
            start = middle - options.locus // 2
            piece = np.array(bases[max(start, 0) : start + options.locus])
            if start < 0 or len(piece) < options.locus:
                over += 1
            elif piece.min() > 3:
                empty += 1
            else:
                number[chrom, middle] = len(codes)
                codes.append(piece)
                spots.append((chrom, start))
    for count, why in (
        (len(unknown), "chromosomes that the genome lacks"),
        (over, "loci that reach over the end of their chromosome"),
        (empty, "loci of N alone"),
    ):
        if count:
            notes.append(f"{count} {why} left out, with their pairs")
    keys = list(zip(pairs.chrom.tolist(), pairs.a.tolist(), pairs.b.tolist(), strict=True))
    kept = [n for n, (c, a, b) in enumerate(keys) if (c, a) in number and (c, b) in number]
    if not kept:
        raise InputError(
            "no pair of loci is left",
            where=where,
            found="; ".join(notes) or "no pair",
            do="Check that pairs and genome are of one assembly, and --min-distance.",
        )
    if unread := sum(bool((piece > 3).any()) for piece in codes):
        notes.append(f"{unread} loci hold N: a k-mer with N is read as unknown")
    loci = labelled(
        codes,
        np.zeros(len(codes)),
        chrom=[chrom for chrom, _ in spots],
        start=[start for _, start in spots],
        origin=[f"{chrom}:{start}-{start + options.locus}" for chrom, start in spots],
    )
    return _labelled(loci, pairs.take(np.array(kept), notes), number, options, where)


def _labelled(
    loci: Any,
    pairs: PairTable,
    number: dict[tuple[str, int], int],
    options: ContactsData,
    where: str,
) -> PairedSequences:
    """Pairs of cut loci with their labels by kind.

    Raises
    ------
    InputError
        If a label is not 0 or 1 where that is asked.
    """
    keys = zip(pairs.chrom.tolist(), pairs.a.tolist(), pairs.b.tolist(), strict=True)
    at = [(number[chrom, a], number[chrom, b]) for chrom, a, b in keys]
    labels = np.zeros(len(pairs)) if pairs.labels is None else pairs.labels
    numbers = options.asked == "oe"
    wrong = np.zeros(0, np.int64) if numbers else np.flatnonzero((labels != 0) & (labels != 1))
    if len(wrong):
        raise InputError(
            "the label is neither 1 (touch) nor 0",
            where=pairs.origin[wrong[0]],
            found=f"{labels[wrong[0]]:g}",
            do="Pass --asked oe where labels are numbers.",
        )
    origin = [
        f"{loci.origin[a]} x {loci.origin[b]} ({file})"
        for (a, b), file in zip(at, pairs.origin, strict=True)
    ]
    return paired(
        loci,
        at,
        labels[:, None] if numbers else labels,
        origin=origin,
        name=Path(where).name.removesuffix(".gz").rsplit(".", 1)[0],
        notes=tuple(pairs.notes),
        kind="numbers" if numbers else "classes",
        label_names=("log_oe",) if numbers else NAMES,
    )
