"""The processor's instructions, as Linux lists them."""

import pytest

from epilm import device as processor

INTEL = (
    "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: X amx_bf16\nflags\t\t: fpu avx512f"
    " avx512_bf16\n"
)


@pytest.fixture
def cpuinfo(monkeypatch):
    """Put a text in the place of /proc/cpuinfo; None: no such file."""

    def put(text):
        def read(_path, encoding):
            if text is None:
                raise FileNotFoundError
            return text

        monkeypatch.setattr(processor.Path, "read_text", read)
        processor.cpu_flags.cache_clear()
        processor.cpu_bf16.cache_clear()

    yield put
    monkeypatch.undo()
    processor.cpu_flags.cache_clear()
    processor.cpu_bf16.cache_clear()


@pytest.mark.parametrize(
    ("text", "bf16"),
    [
        (INTEL, "avx512_bf16"),
        (INTEL.replace("avx512_bf16", "avx512_bf16 amx_bf16"), "amx_bf16"),
        (INTEL.replace("avx512_bf16", "avx512_bf16x"), None),
        ("", None),
        (None, None),
    ],
)
def test_bf16_is_found_by_a_whole_word_among_the_flags(cpuinfo, text, bf16):
    cpuinfo(text)
    assert processor.cpu_bf16() == bf16


def test_the_vendor_stands_beside_the_flags(cpuinfo):
    cpuinfo(INTEL)
    assert processor.cpu_flags() == {"GenuineIntel", "fpu", "avx512f", "avx512_bf16"}
