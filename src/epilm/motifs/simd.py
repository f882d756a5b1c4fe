"""The inner loops of motif scanning: 64 positions at a time, one table lookup for three bases.

A score becomes a *deficit*: how far a word falls short of the motif's best word, in steps so coarse
that every sum that matters fits a byte. Deficits are rounded down, so no hit is ever lost; what
passes is scored again exactly. A lookup of a byte in a register-wide table is one instruction on
most processors, and which one there is decides the kind:

kind  lookup                          lanes  bases a lookup  processors
4     vpermb (AVX-512 VBMI)           64     3               Intel Ice Lake up, AMD Zen 4 up
3     vpshufb, 512 bits (AVX-512 BW)  64     2               Intel Skylake-X
2     vpshufb, 256 bits (AVX2)        32     2               x86 since 2013
1     tbl (NEON)                      16     2               ARM 64
0     compare and select              16     1               anything LLVM knows

The kind travels as the *length of a tuple*, so that it is part of the type: numba compiles and
caches one version for each, and a test can run them all. After a change here, touch kernels.py:
numba's cache looks at the file of the kernel only.
"""

import os

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

KINDS = {"portable": 0, "neon": 1, "avx2": 2, "avx512": 3, "vbmi": 4}
_LANES = (16, 16, 32, 64, 64)
_BASES = (1, 2, 2, 2, 3)
PAD = 256
"""Readable bytes that must follow the last index."""


def available_kinds() -> tuple[int, ...]:
    """Kinds this processor can run, the fastest first."""
    features = llvm.get_host_cpu_features()
    machine = llvm.get_process_triple()
    kinds = []
    if features.get("avx512vbmi") and features.get("avx512bw"):
        kinds.append(4)
    if features.get("avx512bw"):
        kinds.append(3)
    if features.get("avx2"):
        kinds.append(2)
    if machine.startswith(("aarch64", "arm64")):
        kinds.append(1)
    return (*kinds, 0)


def chosen_kind() -> tuple[int, ...]:
    """The kind to use, as a tuple of that length; the environment variable EPILM_SIMD may name a
    lesser one.
    """
    asked = KINDS.get(os.environ.get("EPILM_SIMD", "").lower())
    available = available_kinds()
    kind = asked if asked in available else available[0]
    if os.environ.get("NUMBA_CPU_NAME") == "generic":
        kind = 0
    return (0,) * (kind or 0)


def bases_per_lookup(kind: tuple[int, ...]) -> int:
    """Bases one table lookup covers."""
    return _BASES[len(kind)]


def lanes(kind: tuple[int, ...]) -> int:
    """Positions one block covers."""
    return _LANES[len(kind)]


def byte_tables(
    flat: NDArray[np.float64],
    offset: NDArray[np.int64],
    scale: NDArray[np.float64],
    kind: tuple[int, ...],
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64]]:
    """Lookup tables of the deficits of both strands of every motif.

    Parameters
    ----------
    flat : float64 array, shape (columns, 4)
        Forward scores in nats, motif after motif; motif m has the columns offset[m]:offset[m + 1].
    offset : int64 array, shape (F + 1,)
    scale : float64 array, shape (F,)
        Steps per nat of deficit.
    kind : tuple

    Returns
    -------
    tables : uint8 array, shape (2 * sum of lookups, 64)
        The forward tables of a motif, then its reverse ones; 64-byte aligned.
    first, count : int64 arrays, shape (F,)
        Row of the first forward table, number of lookups a strand.
    """
    bases = bases_per_lookup(kind)
    count = -(-np.diff(offset) // bases)
    first = np.concatenate([[0], np.cumsum(2 * count)[:-1]]).astype(np.int64)
    rows = int(2 * count.sum())
    store = np.empty(64 * rows + 64, dtype=np.uint8)
    shift = -store.ctypes.data % 64
    tables = store[shift : shift + 64 * rows].reshape(rows, 64)
    _fill_bytes(flat, offset, scale, first, count, bases, tables)
    return tables, first, count


def exact_tables(
    flat: NDArray[np.float64], offset: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Exact score sums of three bases each, shape (2 * sum of triples, 64), and the first row of
    each motif.
    """
    count = -(-np.diff(offset) // 3)
    first = np.concatenate([[0], np.cumsum(2 * count)[:-1]]).astype(np.int64)
    tables = np.empty((int(2 * count.sum()), 64))
    _fill_exact(flat, offset, first, count, tables)
    return tables, first


@njit(nogil=True, cache=True, inline="always")
def _word_sum(columns, start, bases, word, reverse):
    """Sum over `bases` columns from `start` of one strand, of the word written base 4."""
    width = len(columns)
    total = 0.0
    for i in range(bases):
        at = start + i
        if at < width:
            base = (word >> (2 * (bases - 1 - i))) & 3
            total += columns[width - 1 - at, 3 - base] if reverse else columns[at, base]
    return total


@njit(nogil=True, cache=True)
def _fill_bytes(flat, offset, scale, first, count, bases, tables):
    words = 1 << (2 * bases)
    for m in range(len(count)):
        scores = flat[offset[m] : offset[m + 1]]
        deficit = np.empty(scores.shape)
        for w in range(len(scores)):
            top = scores[w].max()
            for b in range(4):
                deficit[w, b] = (top - scores[w, b]) * scale[m]
        for strand in range(2):
            for j in range(count[m]):
                row = first[m] + strand * count[m] + j
                for word in range(words):
                    steps = _word_sum(deficit, j * bases, bases, word, strand == 1) - 1e-6
                    tables[row, word] = np.uint8(min(max(steps, 0.0), 255.0))
                for i in range(words, 64):
                    tables[row, i] = tables[row, i - words]


@njit(nogil=True, cache=True)
def _fill_exact(flat, offset, first, count, tables):
    for m in range(len(count)):
        scores = flat[offset[m] : offset[m + 1]]
        for strand in range(2):
            for j in range(count[m]):
                for word in range(64):
                    tables[first[m] + strand * count[m] + j, word] = _word_sum(
                        scores, 3 * j, 3, word, strand == 1
                    )


# --- intrinsics: vectors of bytes, written out for LLVM
# -------------------------------------------------

_I8, _I64 = ir.IntType(8), ir.IntType(64)


def _call(builder, name, result, arguments):
    kinds = [a.type for a in arguments]
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, kinds), name)
    return builder.call(function, arguments)


def _lookup(builder, kind, table, index):
    """Bytes of `table` at the positions `index`, both vectors of the kind's lanes."""
    vector = ir.VectorType(_I8, _LANES[kind])
    if kind == 4:
        return _call(builder, "llvm.x86.avx512.permvar.qi.512", vector, [table, index])
    if kind == 3:
        return _call(builder, "llvm.x86.avx512.pshuf.b.512", vector, [table, index])
    if kind == 2:
        return _call(builder, "llvm.x86.avx2.pshuf.b", vector, [table, index])
    if kind == 1:
        return _call(builder, "llvm.aarch64.neon.tbl1.v16i8", vector, [table, index])

    def spread(lane):
        return builder.shuffle_vector(
            table, table, ir.Constant(ir.VectorType(ir.IntType(32), 16), [lane] * 16)
        )

    def bit(value):
        return builder.icmp_unsigned(
            "!=", builder.and_(index, _splat(kind, value)), ir.Constant(vector, [0] * 16)
        )

    low, high = bit(1), bit(2)
    return builder.select(
        high, builder.select(low, spread(3), spread(2)), builder.select(low, spread(1), spread(0))
    )


def _splat(kind, value):
    return ir.Constant(ir.VectorType(_I8, _LANES[kind]), [value] * _LANES[kind])


def _broadcast(builder, kind, byte):
    vector = ir.VectorType(_I8, _LANES[kind])
    one = builder.insert_element(
        ir.Constant(vector, ir.Undefined), byte, ir.Constant(ir.IntType(32), 0)
    )
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), _LANES[kind]), [0] * _LANES[kind])
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)


def _load(builder, kind, address, align=1):
    vector = ir.VectorType(_I8, _LANES[kind])
    return builder.load(builder.inttoptr(address, vector.as_pointer()), align=align)


def _store(builder, value, address, align=1):
    builder.store(value, builder.inttoptr(address, value.type.as_pointer()), align=align)


def _const(value):
    return ir.Constant(_I64, value)


def _strand_sums(builder, kind, n, tables, count, stride):
    """A function that emits the deficits of both strands for the block at a given address.

    The words of lookup j stand `stride` bytes after those of lookup j - 1: a copy of the words
    shifted by the bases of a lookup, so that every load is aligned. `n` > 0: unrolled, tables
    loaded here, before the loop over blocks. `n` == 0: `count` lookups in a loop.
    """
    vector = ir.VectorType(_I8, _LANES[kind])
    if n:
        registers = [
            _load(builder, kind, builder.add(tables, _const(64 * j)), 64) for j in range(2 * n)
        ]

    def unrolled(address):
        sums = [None, None]
        for j in range(n):
            words = _load(builder, kind, builder.add(address, builder.mul(stride, _const(j))))
            for strand in (0, 1):
                values = _lookup(builder, kind, registers[strand * n + j], words)
                sums[strand] = (
                    values
                    if sums[strand] is None
                    else _call(
                        builder, f"llvm.uadd.sat.v{_LANES[kind]}i8", vector, [sums[strand], values]
                    )
                )
        return sums

    def looped(address):
        cells = [cgutils.alloca_once(builder, vector) for _ in range(2)]
        for cell in cells:
            builder.store(_splat(kind, 0), cell)
        with cgutils.for_range(builder, count) as loop:
            words = _load(builder, kind, builder.add(address, builder.mul(loop.index, stride)))
            for strand, cell in enumerate(cells):
                row = loop.index if strand == 0 else builder.add(loop.index, count)
                table = _load(builder, kind, builder.add(tables, builder.mul(row, _const(64))), 64)
                values = _lookup(builder, kind, table, words)
                total = _call(
                    builder,
                    f"llvm.uadd.sat.v{_LANES[kind]}i8",
                    vector,
                    [builder.load(cell), values],
                )
                builder.store(total, cell)
        return [builder.load(cell) for cell in cells]

    return unrolled if n else looped


def _mask(builder, kind, value, limit):
    """Bits of the lanes with value <= limit, as 64 bits."""
    flags = builder.icmp_unsigned("<=", value, limit)
    bits = builder.bitcast(flags, ir.IntType(_LANES[kind]))
    return bits if _LANES[kind] == 64 else builder.zext(bits, _I64)


@intrinsic(prefer_literal=True)
def passing(typingctx, kind, n, tables, count, index, stride, blocks, budget, out):
    """Write (block, forward bits, reverse bits) of blocks with a lane within the budget; return how
    many.
    """
    which, unroll = len(kind), n.literal_value
    signature = types.int64(kind, n, *[types.int64] * 7)

    def generate(context, builder, sig, args):
        _, _, tables, count, index, stride, blocks, budget, out = args
        limit = _broadcast(builder, which, builder.trunc(budget, _I8))
        written = cgutils.alloca_once_value(builder, _const(0))
        sums = _strand_sums(builder, which, unroll, tables, count, stride)
        with cgutils.for_range(builder, blocks) as loop:
            address = builder.add(index, builder.mul(loop.index, _const(_LANES[which])))
            forward, reverse = (_mask(builder, which, s, limit) for s in sums(address))
            some = builder.icmp_unsigned("!=", builder.or_(forward, reverse), _const(0))
            with builder.if_then(some, likely=False):
                at = builder.load(written)
                record = builder.add(out, builder.mul(at, _const(24)))
                for slot, value in enumerate((loop.index, forward, reverse)):
                    _store(builder, value, builder.add(record, _const(8 * slot)), 8)
                builder.store(builder.add(at, _const(1)), written)
        return builder.load(written)

    return signature, generate


@intrinsic(prefer_literal=True)
def deficits(typingctx, kind, n, tables, count, index, stride, blocks, beyond, out):
    """Write the smaller deficit of the two strands at each position; return the smallest of all.

    The last block is joined (or) with the bytes at `beyond`: 255 in lanes past the last position.
    """
    which, unroll = len(kind), n.literal_value
    signature = types.int64(kind, n, *[types.int64] * 7)

    def generate(context, builder, sig, args):
        _, _, tables, count, index, stride, blocks, beyond, out = args
        vector = ir.VectorType(_I8, _LANES[which])
        smaller = f"llvm.umin.v{_LANES[which]}i8"
        sums = _strand_sums(builder, which, unroll, tables, count, stride)
        smallest = cgutils.alloca_once_value(builder, _splat(which, 255))
        full = builder.sub(blocks, _const(1))
        with cgutils.for_range(builder, full) as loop:
            offset = builder.mul(loop.index, _const(_LANES[which]))
            least = _call(builder, smaller, vector, sums(builder.add(index, offset)))
            _store(builder, least, builder.add(out, offset))
            builder.store(
                _call(builder, smaller, vector, [builder.load(smallest), least]), smallest
            )
        offset = builder.mul(full, _const(_LANES[which]))
        least = _call(builder, smaller, vector, sums(builder.add(index, offset)))
        least = builder.or_(least, _load(builder, which, beyond))
        _store(builder, least, builder.add(out, offset))
        least = _call(builder, smaller, vector, [builder.load(smallest), least])
        lowest = _call(builder, f"llvm.vector.reduce.umin.v{_LANES[which]}i8", _I8, [least])
        return builder.zext(lowest, _I64)

    return signature, generate


@intrinsic
def block_mask(typingctx, kind, address, limit):
    """Bits of the lanes of one block with a value of at most `limit`."""
    which = len(kind)
    signature = types.int64(kind, types.int64, types.int64)

    def generate(context, builder, sig, args):
        _, address, limit = args
        bound = _broadcast(builder, which, builder.trunc(limit, _I8))
        return _mask(builder, which, _load(builder, which, address), bound)

    return signature, generate


@intrinsic
def trailing_zeros(typingctx, bits):
    """Position of the lowest set bit."""
    signature = types.int64(types.int64)

    def generate(context, builder, sig, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return signature, generate
