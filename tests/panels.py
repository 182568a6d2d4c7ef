"""What a panel of a claim shows, read back from the drawing."""

from matplotlib.figure import Figure

from ntk_theory import drawing


def drawn(claim, result, panel):
    """Columns of each series of a panel by its name; several of one name in a list, in order."""
    axes = Figure().subplots()
    claim.panels[panel](axes, result)
    series = {}
    for one in drawing.plotted(axes):
        series.setdefault(one.name, []).append(one.columns)
    return series
