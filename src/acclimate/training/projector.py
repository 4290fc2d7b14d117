"""Files for TensorBoard's projector: features with what is known of each input, and its picture."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid

from acclimate.files.atomic_files import replacing
from acclimate.training.figures.galleries import resized

FOLDER = "projector"
# The projector needs few directions to show clouds, and its files are text.
NUM_DIRECTIONS = 32
SIDE = 32

CONFIG = """\
embeddings {{
  tensor_name: "features of validation inputs"
  tensor_path: "{folder}/features.tsv"
  metadata_path: "{folder}/inputs.tsv"
{sprite}}}
"""
SPRITE = """\
  sprite {{
    image_path: "{folder}/thumbnails.png"
    single_image_dim: {side}
    single_image_dim: {side}
  }}
"""


def write_projector(
    run: Path, components: Tensor, headings: Sequence[str], rows: Sequence[Sequence[str]], thumbnails: Tensor | None
) -> None:
    """Write the files that the projector reads in the folder of a run.

    Args:
        run: The folder of the run.
        components: Principal components of the features, shape (N, D).
        headings: Names of the columns of `rows`, at least two.
        rows: N rows of text without tabs.
        thumbnails: uint8, shape (N, 3, H, W), or None.
    """
    folder = run / FOLDER
    folder.mkdir(exist_ok=True)
    numbers = "".join("\t".join(f"{value:.4g}" for value in row) + "\n" for row in components.tolist())
    table = "".join("\t".join(row) + "\n" for row in (headings, *rows))
    for name, text in (("features.tsv", numbers), ("inputs.tsv", table)):
        with replacing(folder / name) as file:
            file.write(text.encode())
    sprite = ""
    if thumbnails is not None:
        # The projector expects as many rows as columns.
        num_columns = math.ceil(len(thumbnails) ** 0.5)
        blank = torch.full((num_columns**2 - len(thumbnails), 3, SIDE, SIDE), 255, dtype=torch.uint8)
        grid = make_grid(torch.cat([resized(thumbnails, SIDE), blank]), nrow=num_columns, padding=0)
        Image.fromarray(grid.permute(1, 2, 0).numpy()).save(folder / "thumbnails.png")
        sprite = SPRITE.format(folder=FOLDER, side=SIDE)
    with replacing(run / "projector_config.pbtxt") as file:
        file.write(CONFIG.format(folder=FOLDER, sprite=sprite).encode())
