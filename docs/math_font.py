"""The font of formulas: the part of TeX Gyre Pagella Math that formulas need, as docs/math.woff2.

Without a font for mathematics a browser sets subscripts on the line. The original (GUST Font
License, which asks that what derives from it has another name) is in Debian's package
fonts-texgyre-math and at https://www.gust.org.pl/projects/e-foundry/tg-math:

    pip install fonttools brotli && python docs/math_font.py texgyrepagella-math.otf
"""

from __future__ import annotations

__all__ = ["main"]

import sys
from pathlib import Path

_RANGES = (
    *((0x20, 0x7E), (0xA8, 0xB7), (0xD7, 0xD7), (0x2C6, 0x2DC), (0x302, 0x308), (0x332, 0x332)),
    *((0x393, 0x3F5), (0x2016, 0x2016), (0x2020, 0x2034), (0x2061, 0x2064), (0x20D7, 0x20D7)),
    *((0x2102, 0x2131), (0x2190, 0x21DB), (0x2200, 0x22F1), (0x2308, 0x230B), (0x23DE, 0x23DF)),
    *((0x25A0, 0x25A1), (0x27E8, 0x27E9), (0x27F5, 0x27FA), (0x2A7D, 0x2A7E), (0xFE00, 0xFE00)),
    *((0x1D400, 0x1D467), (0x1D49C, 0x1D4CF), (0x1D538, 0x1D56B), (0x1D6A4, 0x1D6A5)),
    *((0x1D6A8, 0x1D71B), (0x1D7CE, 0x1D7E1)),
)
"""Letters of formulas (italic, bold, script, with double lines), operators, arrows, fences."""


def main(original: str) -> None:
    """Write docs/math.woff2 from the original font."""
    from fontTools import subset
    from fontTools.ttLib import TTFont

    font = TTFont(original)
    prime = "minute.st"  # what OpenType sets in scripts, which browsers leave as it is in words
    for table in font["cmap"].tables:
        if 0x2032 in getattr(table, "cmap", {}):
            table.cmap[0x2032] = prime
    options = subset.Options(layout_features=[], name_IDs=["*"], hinting=False, desubroutinize=True)
    chosen = subset.Subsetter(options)
    chosen.populate(unicodes=[code for a, b in _RANGES for code in range(a, b + 1)])
    chosen.subset(font)
    for record in font["name"].names:
        if record.nameID in (1, 4, 6, 16):
            record.string = "SiteMath"
    font.flavor = "woff2"
    font.save(Path(__file__).with_name("math.woff2"))


if __name__ == "__main__":
    main(sys.argv[1])
