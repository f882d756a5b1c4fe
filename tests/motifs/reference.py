"""The slow, plain scan every fast one must equal: one position, one strand, one column after the
other.
"""

import numpy as np


def plain_scores(codes, pwm):
    """Scores of both strands at every start, shape (2, G - W + 1); NaN where the window holds an
    N.
    """
    width = len(pwm)
    count = max(len(codes) - width + 1, 0)
    out = np.full((2, count), np.nan)
    for start in range(count):
        window = codes[start : start + width]
        if (window > 3).any():
            continue
        out[0, start] = sum(pwm[w, b] for w, b in enumerate(window))
        out[1, start] = sum(pwm[w, 3 - b] for w, b in enumerate(window[::-1]))
    return out


def plain_hits(codes, pwms, cuts, dedup=True):
    """Tuples (motif, start, strand, score) in the order of scan()."""
    hits = []
    for m, (pwm, cut) in enumerate(zip(pwms, cuts)):
        for start, (plus, minus) in enumerate(plain_scores(codes, pwm).T):
            up, down = plus >= cut, minus >= cut
            if dedup and up and down:
                up, down = plus >= minus - 1e-9, plus < minus - 1e-9
            if up:
                hits.append((m, start, 1, plus))
            if down:
                hits.append((m, start, -1, minus))
    return hits


def plain_best(codes, starts, ends, pwms):
    """Best score of each region and motif; -inf where nothing can be scored."""
    out = np.full((len(starts), len(pwms)), -np.inf)
    for r, (a, b) in enumerate(zip(starts, ends)):
        for m, pwm in enumerate(pwms):
            scores = plain_scores(codes[a:b], pwm)
            if scores.size and not np.isnan(scores).all():
                out[r, m] = np.nanmax(scores)
    return out


def random_motifs(rng, widths, sites=40):
    """Count matrices of the given widths, some columns sharp, some flat."""
    out = []
    for width in widths:
        weights = rng.dirichlet([0.3] * 4, size=width)
        out.append(rng.multinomial(sites, weights).astype(float))
    return out
