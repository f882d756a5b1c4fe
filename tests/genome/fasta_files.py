"""One genome as FASTA, bgzip and .2bit, packed by hand."""

import gzip
import struct
import zlib

RECORDS = {"chr1": "ACGTNNNNacgtnnRYACGTTTTTACGA", "chr2": "acgTTACG", "chr10": "N" * 9}


TEXT = "".join(
    f">{name} described here\n" + "\n".join(seq[i : i + 10] for i in range(0, len(seq), 10)) + "\n"
    for name, seq in RECORDS.items()
)


def bgzip(data: bytes, block: int = 40) -> bytes:
    """Pack as bgzip by hand: small blocks, so that records cross them."""
    out = b""
    for i in [*range(0, len(data), block), None]:
        part = b"" if i is None else data[i : i + block]
        squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
        body = squeeze.compress(part) + squeeze.flush()
        size = len(body) + 25
        head = (
            b"\x1f\x8b\x08\x04"
            + bytes(4)
            + b"\x00\xff"
            + struct.pack("<H", 6)
            + b"BC"
            + struct.pack("<HH", 2, size)
        )
        out += head + body + struct.pack("<II", zlib.crc32(part), len(part))
    return out


def fai(text: str) -> str:
    lines, offset = [], 0
    for record in text.split(">")[1:]:
        header, body = record.split("\n", 1)
        offset += len(header) + 2
        first = body.split("\n")[0]
        length = len(body.replace("\n", ""))
        lines.append(f"{header.split()[0]}\t{length}\t{offset}\t{len(first)}\t{len(first) + 1}\n")
        offset += len(body)
    return "".join(lines)


def twobit(sequences: dict[str, str], order: str = "<") -> bytes:
    """Pack as .2bit by hand (UCSC's format description)."""

    def runs(seq, test):
        flags = [False, *[test(b) for b in seq], False]
        edges = [i for i in range(len(seq) + 1) if flags[i] != flags[i + 1]]
        starts, ends = edges[::2], edges[1::2]
        return [len(starts), *starts, *[e - s for s, e in zip(starts, ends, strict=True)]]

    bodies = []
    for seq in sequences.values():
        numbers = [len(seq), *runs(seq, lambda b: b in "Nn"), *runs(seq, str.islower), 0]
        codes = ["TCAG".find(b.upper()) if b.upper() in "TCAG" else 0 for b in seq] + [0] * 3
        packed = bytes(
            codes[i] << 6 | codes[i + 1] << 4 | codes[i + 2] << 2 | codes[i + 3]
            for i in range(0, len(seq), 4)
        )
        bodies.append(struct.pack(f"{order}{len(numbers)}I", *numbers) + packed)
    at = 16 + sum(5 + len(name) for name in sequences)
    index = b""
    for name, body in zip(sequences, bodies, strict=True):
        index += bytes([len(name)]) + name.encode() + struct.pack(order + "I", at)
        at += len(body)
    return struct.pack(order + "4I", 0x1A412743, 0, len(sequences), 0) + index + b"".join(bodies)


def write(folder, how):
    text = TEXT.encode()
    path = folder / (
        "g.2bit" if how.startswith("2bit") else "g.fa" if how in ("plain", "crlf") else "g.fa.gz"
    )
    plain = {n: s.replace("R", "N").replace("Y", "N") for n, s in RECORDS.items()}
    made = {
        "plain": text,
        "crlf": text.replace(b"\n", b"\r\n"),
        "gzip": gzip.compress(text),
        "bgzip": bgzip(text),
        "bgzip+fai": bgzip(text),
        "2bit": twobit(plain) if how == "2bit" else b"",
        "2bit-big-endian": twobit(plain, ">") if how == "2bit-big-endian" else b"",
    }[how]
    path.write_bytes(made)
    if how == "bgzip+fai":
        (folder / "g.fa.gz.fai").write_text(fai(TEXT))
    return path
