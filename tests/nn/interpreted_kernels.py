"""Checks of the triton kernels on a CPU; run by test_norms.py with TRITON_INTERPRET=1, and by
hand.
"""

import sys

import numpy as np
import torch
from torch import nn
from triton.runtime import interpreter

patch = interpreter._patch_lang_tensor


def patched(tensor, *scope):
    """Numpy 2.4 turns no array of one number into an index, which the interpreter asks for."""
    patch(tensor, *scope)
    tensor.__index__ = lambda self: int(self.handle.data.reshape(-1)[0])


interpreter._patch_lang_tensor = patched

from epilm.motifs.device_scorer import DeviceScorer  # noqa: E402
from epilm.motifs.log_odds import log_odds  # noqa: E402
from epilm.motifs.scan import best_scores  # noqa: E402
from epilm.nn.kernels_norm import AddNorm  # noqa: E402


def near(a, b, limit):
    assert float((a - b).norm() / b.norm()) < limit, (a, b)


def sums():
    for kind, limit in ((torch.float32, 1e-6), (torch.bfloat16, 1e-2)):
        for m, h in ((7, 48), (13, 64), (1, 96)):
            x, update, grad = (torch.randn(m, h, dtype=kind) for _ in range(3))
            norm = nn.LayerNorm(h, eps=1e-12)
            nn.init.uniform_(norm.weight, 0.5, 2.0)
            nn.init.normal_(norm.bias)
            given = [t.clone().requires_grad_() for t in (x, update)]
            out = AddNorm.apply(*given, norm.weight, norm.bias, 0.0, norm.eps)
            out.backward(grad)
            got = [
                out.detach(),
                given[0].grad,
                given[1].grad,
                norm.weight.grad.clone(),
                norm.bias.grad.clone(),
            ]
            norm.zero_grad()
            plain = [t.float().clone().requires_grad_() for t in (x, update)]
            wanted = norm(plain[0] + plain[1])
            wanted.backward(grad.float())
            for a, b in zip(
                got,
                [wanted.detach(), plain[0].grad, plain[1].grad, norm.weight.grad, norm.bias.grad],
                strict=True,
            ):
                near(a.float(), b, limit)


def dropout():
    x, update, norm = torch.randn(64, 96), torch.ones(64, 96), nn.LayerNorm(96)

    def run(seed):
        torch.manual_seed(seed)
        given = [t.clone().requires_grad_() for t in (x, update)]
        out = AddNorm.apply(*given, norm.weight, norm.bias, 0.2, norm.eps)
        out.backward(torch.randn(64, 96))
        return out.detach(), given[0].grad, given[1].grad

    out, dx, dupdate = run(3)
    kept = dupdate != 0
    assert abs(float(kept.float().mean()) - 0.8) < 0.02
    near(dupdate[kept], dx[kept] / 0.8, 1e-6)
    near(
        out, norm(x + torch.where(kept, update / 0.8, 0.0)).detach(), 1e-6
    )  # the same places on both ways
    assert (
        abs(float((kept[:, 1:] & kept[:, :-1]).float().mean()) - 0.64) < 0.03
    )  # neighbours are independent
    assert torch.equal(run(3)[0], out)
    assert not torch.equal(run(4)[0], out)


def motifs():
    rng = np.random.default_rng(0)
    pwms = [
        log_odds(rng.integers(0, 30, (int(w), 4)) + 1, pseudocount=0.1)
        for w in rng.integers(4, 33, 12)
    ]
    pwms[3] = pwms[3].copy()
    pwms[3][1, 2] = -np.inf
    codes = rng.choice(5, (9, 150), p=[0.24] * 4 + [0.04]).astype(np.uint8)
    codes[2] = 4
    starts = np.arange(9) * 150
    want = best_scores(codes.reshape(-1), starts, starts + 150, pwms, threads=1)
    got = DeviceScorer(pwms, form="kernel").best(torch.from_numpy(codes)).numpy()
    assert np.array_equal(np.isinf(got), np.isinf(want))
    assert np.isinf(got[2]).all()
    held = np.isfinite(want)
    assert np.abs(got[held] - want[held]).max() < 1e-5
    short = DeviceScorer(pwms, form="kernel").best(torch.zeros((2, 3), dtype=torch.uint8))
    assert torch.isinf(short).all()


if __name__ == "__main__":
    {"sums": sums, "dropout": dropout, "motifs": motifs}[sys.argv[1]]()
