"""Reports: one page of text, tables, plots and pictures, as HTML, Markdown or a folder of both.

The HTML is one file that loads nothing, from the network or from disk, and runs no script. It can
be read at the width of a phone, in light and dark, and on paper.

    page = Page("Audit of my classifier", "4,000 faces, seed 0")
    part = page.section("Which attributes move it")
    part.text("Flipping **Eyeglasses** changes the answer most.")
    part.table(["attribute", "changed"], [["Eyeglasses", Cell(".31", "[.29, .33]")]])
    part.plot(Intervals([("Eyeglasses", 0.31, 0.29, 0.33)], "share changed"), caption="…")
    part.images([[photo, edited]], columns=["photo", "Eyeglasses=1"], caption="drawn by seed 0")
    page.save("report/")
"""

from cdvae_gan.report.page import Cell, Page, Row, Section
from cdvae_gan.report.plots import Intervals, Plot, Series

__all__ = ["Cell", "Intervals", "Page", "Plot", "Row", "Section", "Series"]
