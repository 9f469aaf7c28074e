"""Figures in one style: colour-blind-safe colours, pictures in labelled grids."""

import matplotlib.pyplot as plt
from IPython import get_ipython

#: Okabe and Ito's palette, distinguishable with every common colour vision
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#F0E442"]


def use_style():
    """Set matplotlib's defaults for the rest of the notebook, and have it draw at double resolution."""
    if get_ipython() is not None:
        get_ipython().run_line_magic("config", "InlineBackend.figure_format = 'retina'")
    plt.rcParams.update(
        {
            "axes.prop_cycle": plt.cycler(color=COLOURS),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.3,
            "figure.dpi": 110,
            "savefig.bbox": "tight",
            "font.size": 10,
            "figure.constrained_layout.use": True,
            "legend.frameon": False,
            "legend.fontsize": 9,
            "image.interpolation": "nearest",
        }
    )


def picture_grid(pictures, row_labels=None, column_labels=None, tile=0.95):
    """Show pictures in rows and columns, with a label before each row and above each column.

    pictures: (rows, columns, 3, height, width) in [0, 1]; tile: side of one picture in inches.
    Returns the figure. Raises ValueError for another number of axes.
    """
    if pictures.ndim != 5:
        raise ValueError(f"pictures has shape {tuple(pictures.shape)}: it must be (rows, columns, 3, height, width).")
    rows, columns = pictures.shape[:2]
    size = (tile * columns + 0.9, tile * rows + 0.3)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0.0, hspace=0.0)
    images = pictures.detach().float().cpu().clamp(0, 1).permute(0, 1, 3, 4, 2).numpy()
    for row in range(rows):
        for column in range(columns):
            axis = axes[row, column]
            axis.imshow(images[row, column])
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
            axis.spines[:].set_visible(False)
            if row == 0 and column_labels is not None:
                axis.set_title(column_labels[column], fontsize=9)
        if row_labels is not None:
            axes[row, 0].set_ylabel(row_labels[row], fontsize=9, rotation=0, ha="right", va="center")
    return figure
