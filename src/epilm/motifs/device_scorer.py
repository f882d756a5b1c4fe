"""Best motif scores of regions on a GPU, every position scored exactly in fp32.

Three forms that give the same numbers. "kernel": one triton kernel for GPUs, which keeps no score
but the best (`kernels_triton`). "product": one-hot bases times the score matrices; for the matrix
units the scores are cut into three parts of 8 bits, which bf16 and tf32 hold exactly and whose
products with 0 and 1 are exact, so only the fp32 sum rounds. "lookup": the scores of three bases at
once from a table of 125 words, which `torch.compile` makes one kernel. Needs torch alone, unlike
`scan`, whose answers it gives to 1e-5. Axes: R regions, W bases of a region, w width of a motif, P
= W - w + 1 positions, F motifs.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from epilm.device import found_device
from epilm.errors import InputError

Form = Literal["kernel", "product", "lookup"]
Kind = Literal["fp32", "tf32x3", "bf16x3"]

# Stands for minus infinity: a power of two is exact in every format, and no sum of scores comes
# near half of it.
LOW = -(2.0**20)
# Letters of a word of the lookup form: 5**3 rows, small enough that a block's part stays in the
# first cache.
LETTERS = 3


class DeviceScorer:
    """Tables of a set of motifs on a device, built once.

    Parameters
    ----------
    pwms : sequence of float arrays, shape (w, 4)
        Log-odds in nats, as `pwm.log_odds` gives; -inf is allowed.
    device : torch.device or str
    form : {"kernel", "product", "lookup"}
        "kernel" asks for CUDA and triton, and for motifs of at most 32 bases.
    kind : {"fp32", "tf32x3", "bf16x3"}, optional
        Format of the products. fp32 by default; the others are for GPUs' matrix units.
    chunk_bytes : int
        Scores in memory at a time; about half of a GPU's L2 is a good start.
    compiled : bool
        Put the lookup form through `torch.compile`.

    Raises
    ------
    InputError
        If a matrix has another shape, or the format is not there.

    Examples
    --------
    >>> from epilm.motifs.log_odds import log_odds
    >>> scorer = DeviceScorer([log_odds([[100, 0, 0, 0], [0, 100, 0, 0], [0, 0, 100, 0]])])
    >>> scorer.best(torch.tensor([[3, 3, 1, 2, 3, 0, 0], [2, 4, 3, 2, 4, 4, 0]], dtype=torch.uint8))
    tensor([[4.1365],
            [  -inf]])
    """

    def __init__(
        self,
        pwms: Sequence[np.ndarray],
        device: torch.device | str = "cpu",
        *,
        form: Form = "product",
        kind: Kind = "fp32",
        chunk_bytes: int = 1 << 25,
        compiled: bool = False,
    ) -> None:
        for number, pwm in enumerate(pwms):
            if np.ndim(pwm) != 2 or np.shape(pwm)[1] != 4 or not len(pwm):
                raise InputError(
                    "a score matrix has another shape",
                    where=f"motif {number}",
                    found=np.shape(pwm),
                    expected="(w, 4)",
                )
        self.device, self.form, self.kind = found_device(device), form, kind
        self.chunk_bytes, self.n = chunk_bytes, len(pwms)
        if form == "kernel":
            self._groups_of_kernel(pwms)
            return
        if kind == "bf16x3" and form == "product":
            _bf16_product(
                torch.ones(16, 16, device=self.device), torch.ones(16, 16, device=self.device)
            )
        size: Callable[[int], int] = (
            (lambda w: w) if form == "product" else (lambda w: -(-w // LETTERS))
        )
        groups: dict[int, list[int]] = {}
        for number, pwm in enumerate(pwms):
            groups.setdefault(size(len(pwm)), []).append(number)
        self.groups: list[tuple[int, Tensor, Tensor]] = []
        for width, members in sorted(groups.items()):
            strands = [np.asarray(pwms[m]) for m in members]
            flat = [*strands, *(pwm[::-1, ::-1] for pwm in strands)]
            made = self._matrix(flat, width) if form == "product" else _word_tables(flat, width)
            self.groups.append(
                (width, torch.tensor(members, device=self.device), made.to(self.device))
            )
        self._lookup: Any = torch.compile(_looked_up) if compiled else _looked_up

    def _matrix(self, pwms: list[np.ndarray], width: int) -> Tensor:
        """Scores as the right side of the product, (K, 2n): 4 w rows, then one that forbids
        positions with an N.
        """
        table = np.full((4 * width + 1, len(pwms)), LOW)
        for column, pwm in enumerate(pwms):
            table[:-1, column] = np.maximum(pwm, LOW).reshape(-1)
        whole = torch.from_numpy(table).float()
        return whole if self.kind == "fp32" else torch.cat(_parts(whole))

    def _groups_of_kernel(self, pwms: Sequence[np.ndarray]) -> None:
        """Motifs by the K they need, with their parts (3, K, C) and the widths of the columns."""
        kernels = _kernels()
        widest = max(map(len, pwms), default=0)
        if widest > kernels.WIDEST:
            raise InputError(
                "the kernel takes no motif as wide",
                found=f"{widest} bases",
                expected=f"at most {kernels.WIDEST}",
                do="Take form='product'.",
            )
        groups: dict[int, list[int]] = {}
        for number, pwm in enumerate(pwms):
            groups.setdefault(kernels.room(len(pwm)), []).append(number)
        self.kernel_groups: list[tuple[Tensor, Tensor, Tensor]] = []
        for k, members in sorted(groups.items()):
            columns = kernels.padded_columns(2 * len(members))
            table, widths = np.zeros((k, columns)), np.zeros(columns, np.int16)
            for slot, member in enumerate(members):
                for column, strand in (
                    (slot, pwms[member]),
                    (slot + len(members), pwms[member][::-1, ::-1]),
                ):
                    table[: strand.size, column] = np.maximum(strand, LOW).reshape(-1)
                    widths[column] = len(strand)
            parts = torch.stack(_parts(torch.from_numpy(table).float()))
            parts = parts.bfloat16() if self.device.type == "cuda" else parts
            moved = (torch.tensor(members), parts, torch.from_numpy(widths))
            ours, pieces, bases = (x.to(self.device) for x in moved)
            self.kernel_groups.append((ours, pieces, bases))

    def _best_by_kernel(self, codes: Tensor) -> Tensor:
        kernels = _kernels()
        codes = codes.contiguous()
        out = torch.full((len(codes), self.n), -torch.inf, device=self.device)
        if codes.numel() == 0:
            return out
        reaches = reach(codes, kernels.WIDEST)
        for members, table, widths in self.kernel_groups:
            scores = kernels.best_of_columns(codes, reaches, table, widths, LOW)
            best = torch.maximum(
                scores[:, : len(members)], scores[:, len(members) : 2 * len(members)]
            )
            out[:, members] = best.masked_fill(best < LOW / 2, -torch.inf)
        return out

    def best(self, codes: Tensor) -> Tensor:
        """Best score of each motif in each region, over positions and both strands.

        Parameters
        ----------
        codes : uint8 (R, W)
            A=0 C=1 G=2 T=3, larger values are N. On the scorer's device.

        Returns
        -------
        float32 (R, F)
            Nats; -inf where no position is free of N, or the region is shorter than the motif.
        """
        if self.form == "kernel":
            return self._best_by_kernel(codes)
        regions, bases = codes.shape
        out = torch.full((regions, self.n), -torch.inf, device=self.device)
        for width, members, table in self.groups:
            columns = 2 * len(members)
            step = max(1, self.chunk_bytes // max(4 * bases * columns, 1))
            for start in range(0, regions, step):
                part = codes[start : start + step]
                if self.form == "lookup":
                    scores = self._lookup(_words(part, width), table)
                elif bases < width:
                    break
                else:
                    scores = self._product(part, width, table)
                scores = scores.view(len(part), 2, len(members)).amax(1)
                out[start : start + step, members] = scores.masked_fill(
                    scores < LOW / 2, -torch.inf
                )
        return out

    def _product(self, codes: Tensor, width: int, table: Tensor) -> Tensor:
        """(R, W) to the best of each column, (R, 2n)."""
        regions, bases = codes.shape
        places = bases - width + 1
        kind = torch.bfloat16 if self.kind == "bf16x3" else torch.float32
        hot = (codes[..., None] == torch.arange(4, device=codes.device)).to(kind)  # (R, W, 4)
        rows = hot.reshape(regions, 4 * bases).unfold(1, 4 * width, 4)  # (R, P, 4 w)
        unknown = torch.nn.functional.pad((codes > 3).int().cumsum(1), (1, 0))
        forbidden = (unknown[:, width:] - unknown[:, :places] > 0).to(kind)
        x = torch.cat([rows, forbidden[..., None]], -1).reshape(regions * places, -1)
        if self.kind == "fp32":
            scores = x @ table
        else:
            x = x.repeat(1, 3)
            scores = _bf16_product(x, table) if self.kind == "bf16x3" else _tf32_product(x, table)
        return scores.view(regions, places, -1).amax(1)


def reach(codes: Tensor, most: int) -> Tensor:
    """Bases from each position to the next N or the end: int16 (R, W), at most `most`.

    Examples
    --------
    >>> reach(torch.tensor([[0, 1, 4, 2]], dtype=torch.uint8), 32).tolist()
    [[2, 1, 0, 1]]
    """
    bases = codes.shape[1]
    position = torch.arange(bases, dtype=torch.int32, device=codes.device)
    stops = torch.where(codes > 3, position, bases)
    following = stops.flip(1).cummin(1).values.flip(1)
    return (following - position).clamp(max=most).to(torch.int16)


def _kernels() -> Any:
    """The kernels' module, or an error where triton is not installed."""
    try:
        from epilm.motifs import kernels_triton
    except ImportError as error:
        raise InputError(
            "the kernel form needs triton",
            found=error,
            do="Install triton (CUDA), or take form='product'.",
        ) from None
    return kernels_triton


def _parts(values: Tensor) -> list[Tensor]:
    """Three addends of 8 bits each whose sum is the fp32 value.

    Examples
    --------
    >>> x = torch.tensor([1.2345678, -0.0001234567])
    >>> parts = _parts(x)
    >>> (
    ...     bool((sum(p.double() for p in parts) == x.double()).all()),
    ...     all(bool((p == p.bfloat16()).all()) for p in parts),
    ... )
    (True, True)
    """
    first = values.bfloat16().float()
    second = (values - first).bfloat16().float()
    third = (values - first - second).bfloat16().float()
    return [first, second, third]


def _tf32_product(x: Tensor, table: Tensor) -> Tensor:
    """A product on the matrix units in tf32, whatever the caller's setting; on a CPU in fp32."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        return x @ table
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def _bf16_product(x: Tensor, table: Tensor) -> Tensor:
    """A product of bf16 matrices summed and given in fp32 (CUDA, torch 2.8 and later)."""
    try:
        return torch.mm(x.bfloat16(), table.bfloat16(), out_dtype=torch.float32)
    except (TypeError, RuntimeError, NotImplementedError) as error:
        raise InputError(
            "products of bf16 with sums in fp32 are not here",
            found=str(error).splitlines()[0],
            do="Take kind='tf32x3'.",
        ) from None


def _word_tables(pwms: list[np.ndarray], pieces: int) -> Tensor:
    """Scores of three bases at a time: (pieces, 125, 2n), LOW where a base of the motif is N.

    Bases beyond a motif's end count nothing, whatever they are.
    """
    table = np.zeros((pieces, 5**LETTERS, len(pwms)))
    words = np.indices((5,) * LETTERS).reshape(LETTERS, -1)  # base at each place of each word
    for column, pwm in enumerate(pwms):
        whole = np.zeros((pieces * LETTERS, 5))
        whole[: len(pwm), :4], whole[: len(pwm), 4] = np.maximum(pwm, LOW), LOW
        for piece in range(pieces):
            table[piece, :, column] = sum(
                whole[piece * LETTERS + i][words[i]] for i in range(LETTERS)
            )
    return torch.from_numpy(table).float()


def _words(codes: Tensor, pieces: int) -> Tensor:
    """Word numbers under each piece of each position: int64 (pieces, R, W), N beyond the end."""
    bases = codes.shape[1]
    padded = torch.nn.functional.pad(codes.clamp(max=4).long(), (0, LETTERS * pieces), value=4)
    word = sum(
        5 ** (LETTERS - 1 - i) * padded[:, i : padded.shape[1] - LETTERS + 1 + i]
        for i in range(LETTERS)
    )
    assert isinstance(word, Tensor)
    return torch.stack([word[:, LETTERS * p : LETTERS * p + bases] for p in range(pieces)])


def _looked_up(words: Tensor, table: Tensor) -> Tensor:
    """(pieces, R, W) words to the best of each column, (R, 2n)."""
    scores = table[0][words[0]]
    for piece in range(1, table.shape[0]):
        scores = scores + table[piece][words[piece]]
    return scores.amax(1)
