"""Conversion of matplotlib figures to pictures."""

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor


def picture(figure: Figure) -> Tensor:
    """Draw a figure as a picture, uint8, shape (3, H, W)."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.array(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    return torch.from_numpy(pixels)[..., :3].permute(2, 0, 1).contiguous()
