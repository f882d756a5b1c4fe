"""Colours of chromatin states: those of the files, Roadmap's where its names are met, else a
circle of hues.

A file of two columns more says its colours itself; most segmentations say none.
"""

import colorsys
import re
from collections.abc import Sequence

# Roadmap's own, of 15, 18 and 25 states:
# https://egg2.wustl.edu/roadmap/web_portal/chr_state_learning.html
ROADMAP = {
    "TssA": "255,0,0",
    "TssAFlnk": "255,69,0",
    "TxFlnk": "50,205,50",
    "Tx": "0,128,0",
    "TxWk": "0,100,0",
    "EnhG": "194,225,5",
    "Enh": "255,255,0",
    "ZNF/Rpts": "102,205,170",
    "Het": "138,145,208",
    "TssBiv": "205,92,92",
    "BivFlnk": "233,150,122",
    "EnhBiv": "189,183,107",
    "ReprPC": "128,128,128",
    "ReprPCWk": "192,192,192",
    "Quies": "255,255,255",
    "TssFlnk": "255,69,0",
    "TssFlnkU": "255,69,0",
    "TssFlnkD": "255,69,0",
    "EnhG1": "194,225,5",
    "EnhG2": "194,225,5",
    "EnhA1": "255,195,77",
    "EnhA2": "255,195,77",
    "EnhWk": "255,255,0",
    "PromU": "255,69,0",
    "PromD1": "255,69,0",
    "PromD2": "255,69,0",
    "Tx5'": "0,128,0",
    "Tx3'": "0,128,0",
    "TxReg": "194,225,5",
    "TxEnh5'": "194,225,5",
    "TxEnh3'": "194,225,5",
    "TxEnhW": "194,225,5",
    "EnhAF": "255,195,77",
    "EnhW1": "255,255,0",
    "EnhW2": "255,255,0",
    "EnhAc": "255,255,0",
    "DNase": "255,255,102",
    "PromP": "230,184,183",
    "PromBiv": "112,48,160",
}
PALE = "232,235,240"  # what is white would not be seen


def state_colours(names: Sequence[str], given: Sequence[str]) -> tuple[str, ...]:
    """Give each state a colour that can be seen.

    Parameters
    ----------
    names : sequence of str
        Such as "1_TssA" or "TssA".
    given : sequence of str
        "r,g,b" of the files, "" where they say none.

    Returns
    -------
    tuple of str
        "r,g,b".

    Examples
    --------
    >>> state_colours(["1_TssA", "15_Quies"], ["", ""])
    ('255,0,0', '232,235,240')
    >>> state_colours(["one", "two"], ["1,2,3", ""])
    ('1,2,3', '58,189,189')
    """
    plain = [re.sub(r"^[EU]?[0-9]+_", "", name) for name in names]
    roadmap = all(name in ROADMAP for name in plain)
    colours = []
    for number, name in enumerate(plain):
        own = given[number] or (ROADMAP[name] if roadmap else _hue(number, len(names)))
        colours.append(PALE if own.replace(" ", "") == "255,255,255" else own)
    return tuple(colours)


def _hue(number: int, count: int) -> str:
    """One of `count` hues, neighbours alike in hue and unlike in lightness."""
    light = (0.62, 0.74, 0.5)[number % 3]
    red, green, blue = colorsys.hsv_to_rgb(number / count, 0.69, light if count > 8 else 0.74)
    return ",".join(str(round(255 * part)) for part in (red, green, blue))
