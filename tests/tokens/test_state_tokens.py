"""State tokens: counts, hiding (protocols 5.5, 5.7), the leak of a fixed flank and how it is
closed.
"""

import pytest
import torch

from epilm.errors import InputError
from epilm.tokens.pooling import MISSING, pool_states, token_bins
from epilm.tokens.state_tokens import (
    MASK_STATE,
    N_SPECIAL_STATES,
    PAD_STATE,
    UNKNOWN_STATE,
    around,
    beside_tokens,
    flank_tokens,
    mask_states,
    real_tokens,
    state_ids,
)

S = 10


def windows(n, *, seed=0, special=True, width=150, states=S):
    """n windows of 1000 bp at offsets 0, 50, 100, 150; states independent from bin to bin: ids,
    bins (n, width).
    """
    g = torch.Generator().manual_seed(seed)
    offset = 50 * torch.randint(0, 4, (n,), generator=g)
    codes = torch.randint(0, states, (n, 6), generator=g).to(torch.uint8)
    how = {"bin": 200, "k": 7, "stride": 7, "tokens": 142}
    laid = {"special_tokens": special, "width": width}
    ids = beside_tokens(state_ids(pool_states(codes, offset, **how)), **laid, fill=PAD_STATE)
    return ids, beside_tokens(token_bins(offset, **how), **laid, fill=-1)


def hide(ids, bins, **changes):
    given = {"keys": torch.arange(len(ids)), "seed": 0, "stride": 7, "n_states": S, "bins": bins}
    return mask_states(ids, **(given | changes))


def test_ids_of_states():
    codes = torch.tensor([0, 1, 253, MISSING], dtype=torch.uint8)
    assert state_ids(codes).tolist() == [3, 4, 256, UNKNOWN_STATE]
    assert state_ids(codes.numpy()).tolist() == [3, 4, 256, UNKNOWN_STATE]


@pytest.mark.parametrize(("k", "floor", "ceil"), [(7, 14, 15), (6, 16, 17), (5, 20, 20)])
def test_worked_flanks(k, floor, ceil):
    assert flank_tokens(100, k) == floor
    assert flank_tokens(100, k, "ceil") == ceil


def worked():
    """A window at offset 0, without special tokens: token t stands in column t."""
    codes, offset = torch.arange(6, dtype=torch.uint8)[None], torch.tensor([0])
    how = {"bin": 200, "k": 7, "stride": 7, "tokens": 142}
    return state_ids(pool_states(codes, offset, **how)), token_bins(offset, **how)


@pytest.mark.parametrize(
    ("centre", "hidden", "leak"),
    [(42, range(28, 57), []), (30, range(16, 45), range(45, 57)), (3, range(18), range(18, 29))],
)
def test_worked_hiding_of_a_flank(centre, hidden, leak):
    """Centre 42 hides its bin and one token more; centre 30 leaves 12 tokens of its bin; 3 is cut
    at the end.
    """
    ids, bins = worked()
    only = torch.arange(142)[None] == centre
    masked, labels = hide(ids, bins, known=only)
    assert (masked[0] == MASK_STATE).nonzero().flatten().tolist() == list(hidden)
    assert torch.equal(masked[masked != MASK_STATE], ids[masked != MASK_STATE])
    assert (labels[0] != -100).nonzero().flatten().tolist() == [centre]
    assert labels[0, centre] == ids[0, centre]
    visible = (bins[0] == bins[0, centre]) & (masked[0] != MASK_STATE)
    assert visible.nonzero().flatten().tolist() == list(leak)
    assert len(leak) in (0, 11, 12)


@pytest.mark.parametrize("centre", [30, 42, 56])
def test_a_whole_bin_hides_its_tokens_and_no_other(centre):
    ids, bins = worked()
    masked, labels = hide(ids, bins, known=torch.arange(142)[None] == centre, mode="whole_bin")
    assert (masked[0] == MASK_STATE).nonzero().flatten().tolist() == list(range(29, 57))
    assert (labels[0] != -100).nonzero().flatten().tolist() == [centre]


def test_a_run_goes_over_bins_of_the_same_state():
    ids = torch.tensor([[PAD_STATE, 5, 5, 4, 4, 4, 4, 5, 5, PAD_STATE]])
    bins = torch.tensor([[-1, 0, 0, 1, 1, 2, 2, 3, 3, -1]])
    only = torch.zeros_like(ids, dtype=torch.bool)
    only[0, 5] = True
    masked, _ = hide(ids, bins, known=only, mode="run")
    assert masked.tolist() == [[PAD_STATE, 5, 5, 1, 1, 1, 1, 5, 5, PAD_STATE]]


# --- the leak -----------------------------------------------------------------


def copied(masked, labels, bins):
    """Predict a centre by the nearest state that is still visible in its bin; -1 where there is
    none.
    """
    rows, at = (labels != -100).nonzero().T
    same = (bins[rows] == bins[rows, at][:, None]) & (masked[rows] >= N_SPECIAL_STATES)
    distance = (torch.arange(bins.shape[1]) - at[:, None]).abs().masked_fill(~same, 9999)
    nearest = masked[rows].gather(1, distance.argmin(1, keepdim=True))[:, 0]
    return torch.where(same.any(1), nearest, -1), labels[rows, at]


def right(mode, **changes):
    """Share of centres that copying gets right; where nothing of the bin is left to copy, a guess
    of state 0.
    """
    ids, bins = windows(3000)
    guess, truth = copied(*hide(ids, bins, mode=mode, **changes), bins)
    return float((torch.where(guess < 0, N_SPECIAL_STATES, guess) == truth).double().mean())


def test_a_fixed_flank_leaks_and_a_whole_bin_does_not():
    """Ten states, independent from bin to bin: nothing but the centre's own bin can tell its
    state.
    """
    chance = 1 / S
    assert right("flank") > 0.85
    assert abs(right("whole_bin") - chance) < 0.02
    # A flank wider than a bin closes it too, and hides the neighbouring bins with it.
    assert abs(right("flank", flank_bp=200) - chance) < 0.02


def test_nothing_of_the_centres_bin_is_visible_under_whole_bin():
    ids, bins = windows(500)
    for mode, leaks in (("whole_bin", False), ("flank", True)):
        guess, _ = copied(*hide(ids, bins, mode=mode, n_centres=3), bins)
        assert bool((guess >= 0).any()) == leaks


def test_a_copying_predictor_is_right_wherever_it_can_copy():
    """The leak is complete: where a state of the bin is visible it is the answer."""
    ids, bins = windows(500)
    guess, truth = copied(*hide(ids, bins), bins)
    assert torch.equal(guess[guess >= 0], truth[guess >= 0])
    assert (guess >= 0).double().mean() > 0.85


def test_replacing_as_bert_does_leaks_under_whole_bin():
    """Why [MASK] is the default: a tenth of the hidden tokens stand unchanged."""
    ids, bins = windows(500)
    masked, labels = hide(ids, bins, mode="whole_bin", replace="bert")
    guess, truth = copied(masked, labels, bins)
    assert (guess == truth).double().mean() > 0.4


# --- what is hidden, and what never ---------------------------------------------


@pytest.mark.parametrize("mode", ["flank", "whole_bin", "run"])
@pytest.mark.parametrize("replace", ["mask", "bert"])
def test_special_tokens_and_padding_are_never_hidden(mode, replace):
    ids, bins = windows(300)
    masked, labels = hide(ids, bins, mode=mode, replace=replace, n_centres=4)
    special = ids == PAD_STATE
    assert int(special[0].sum()) == 8  # [CLS], [SEP] and six of padding
    assert (masked[special] == PAD_STATE).all()
    assert (labels[special] == -100).all()
    assert (masked[~special] != PAD_STATE).all()
    assert ((masked != MASK_STATE) | ~special).all()


def test_labels_are_the_states_of_the_centres_and_their_number_is_kept():
    ids, bins = windows(200)
    for n in (1, 5):
        _, labels = hide(ids, bins, n_centres=n)
        scored = labels != -100
        assert (scored.sum(1) == n).all()
        assert torch.equal(labels[scored], ids[scored])


def test_every_known_state_is_a_centre_equally_often():
    ids, bins = windows(1, special=False, width=142)
    ids = ids.expand(20000, -1)
    _, labels = hide(ids, bins.expand(20000, -1), keys=torch.arange(20000))
    drawn = (labels != -100).double().sum(0)
    assert drawn.min() > 0
    # 20000 / 142 = 140.8 draws a token, standard deviation 11.8: no token is off by five of them.
    assert (drawn - 20000 / 142).abs().max() < 60


def test_a_token_without_a_state_is_hidden_with_its_neighbours_but_never_asked_for():
    ids = torch.full((200, 30), UNKNOWN_STATE)
    ids[:, 10] = 7
    masked, labels = hide(ids, torch.zeros_like(ids), flank_bp=14)
    assert (labels != -100).nonzero()[:, 1].unique().tolist() == [10]
    assert (masked[:, 8:13] == MASK_STATE).all()
    assert (masked[:, 13:] == UNKNOWN_STATE).all()


def test_a_window_without_any_state_has_no_centre_and_nothing_hidden():
    ids = torch.full((3, 12), UNKNOWN_STATE)
    ids[1] = 5
    for mode in ("flank", "whole_bin", "run"):
        masked, labels = hide(ids, torch.zeros_like(ids), mode=mode, n_centres=2)
        assert ((labels != -100).sum(1)).tolist() == [0, 2, 0]
        assert torch.equal(masked[[0, 2]], ids[[0, 2]])


def test_centres_are_drawn_among_the_masked_kmers_where_there_are_any():
    ids, bins = windows(100)
    among = torch.zeros_like(ids, dtype=torch.bool)
    among[:50, 20:30] = True
    _, labels = hide(ids, bins, among=among)
    at = (labels != -100).nonzero()[:, 1]
    assert len(at) == 100
    assert ((at[:50] >= 20) & (at[:50] < 30)).all()
    assert not ((at[50:] >= 20) & (at[50:] < 30)).all()


def test_more_centres_than_states_are_as_many_as_there_are():
    ids = torch.tensor([[0, 4, 5, 0]])
    masked, labels = hide(ids, torch.zeros_like(ids), n_centres=9)
    assert labels.tolist() == [[-100, 4, 5, -100]]
    assert masked.tolist() == [[0, 1, 1, 0]]


@pytest.mark.parametrize("mode", ["flank", "whole_bin", "run"])
@pytest.mark.parametrize("replace", ["mask", "bert"])
def test_a_window_is_masked_alike_in_any_batch(mode, replace):
    ids, bins = windows(40)
    keys = torch.arange(40) * 7919
    whole = hide(ids, bins, keys=keys, mode=mode, replace=replace, n_centres=3)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    for part in order.split(7):
        alone = hide(
            ids[part], bins[part], keys=keys[part], mode=mode, replace=replace, n_centres=3
        )
        assert torch.equal(alone[0], whole[0][part])
        assert torch.equal(alone[1], whole[1][part])


def test_padding_on_the_right_changes_no_draw():
    ids, bins = windows(40)
    masked, labels = hide(ids[:, :144], bins[:, :144])
    wide, wide_labels = hide(ids, bins)
    assert torch.equal(wide[:, :144], masked)
    assert torch.equal(wide_labels[:, :144], labels)


def test_seed_and_key_change_the_draw():
    ids, bins = windows(50)
    one = hide(ids, bins)[1]
    assert not torch.equal(one, hide(ids, bins, seed=1)[1])
    assert not torch.equal(one, hide(ids, bins, keys=torch.arange(50) + 1)[1])
    assert torch.equal(one, hide(ids, bins)[1])


def test_replacing_as_bert_does_is_80_10_10():
    ids, bins = windows(2000, seed=3)
    ids = torch.where(
        ids >= N_SPECIAL_STATES, N_SPECIAL_STATES + S - 1, ids
    )  # all one state: what is random shows
    masked, _ = hide(ids, bins, replace="bert", n_states=1000)
    hidden, _ = hide(ids, bins)
    inside = masked[hidden == MASK_STATE]
    shares = [
        (inside == MASK_STATE).double().mean(),
        ((inside != MASK_STATE) & (inside != N_SPECIAL_STATES + S - 1)).double().mean(),
        (inside == N_SPECIAL_STATES + S - 1).double().mean(),
    ]
    assert [round(float(share), 2) for share in shares] == pytest.approx([0.8, 0.1, 0.1], abs=0.011)
    assert int(inside.max()) < N_SPECIAL_STATES + 1000


def test_what_is_given_stays_as_it_was():
    ids, bins = windows(10)
    before = ids.clone()
    hide(ids, bins, replace="bert")
    assert torch.equal(ids, before)


def test_around_hides_nothing_where_nothing_was_drawn():
    ids = torch.tensor([[4, 4, 4]])
    none = around(ids, torch.tensor([[1]]), torch.tensor([[False]]), bins=None, mode="run", flank=0)
    assert not none.any()


def test_values_beside_special_tokens():
    values = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert beside_tokens(values, special_tokens=True, width=5).tolist() == [
        [0, 1, 2, 0, 0],
        [0, 3, 4, 0, 0],
    ]
    assert beside_tokens(values, special_tokens=False, width=2).tolist() == values.tolist()
    three = beside_tokens(values[..., None], special_tokens=True, width=4, fill=-1)
    assert three[0, :, 0].tolist() == [-1, 1, 2, -1]


def test_real_tokens_leave_out_padding_and_special_ones():
    ids = torch.tensor([[2, 1, 4, 9, 3, 0]])
    assert real_tokens(ids, ids > 0).tolist() == [[False, True, True, True, False, False]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"mode": "bin"},
            r"unknown masked_states.mode. Found bin; expected flank or whole_bin or run",
        ),
        ({"flank_round": "up"}, "unknown masked_states.flank_round"),
        ({"replace": "zero"}, "unknown masked_states.replace"),
        ({"n_centres": 0}, "n_centres 0, flank_bp 100"),
        ({"flank_bp": -1}, "a flank of 0 or more"),
        ({"mode": "whole_bin", "bins": None}, "needs the bin of every token"),
    ],
)
def test_impossible_switches_are_refused(changes, message):
    ids, bins = windows(2)
    changes = dict(changes)
    with pytest.raises(InputError, match=message):
        hide(ids, changes.pop("bins", bins), **changes)
