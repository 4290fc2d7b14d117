"""Write labels and confidences for a folder of images, or a table of vectors.

usage: acclimate predict run=DIR inputs=PLACE out=FILE.csv [batch_size=NUMBER] [max_pixels=NUMBER] [trust=MODULE]

Writes one line for each input: the path of an image below the folder, or the number of a row, the predicted class and the
confidence in [0, 1].
A run may come from somebody else, so your own code in it needs trust=MODULE.
"""

from collections.abc import Sequence
from pathlib import Path

from acclimate.cli.arguments import count, list_of, refuse_unwritable, split_keys
from acclimate.errors import ConfigError
from acclimate.files.printable import printable
from acclimate.runs.checkpoint_files import selected_checkpoint


def run(arguments: Sequence[str]) -> None:
    """Write a table of predictions for the inputs of a folder or a file."""
    keys, others = split_keys(arguments, required=("run", "inputs", "out"), optional=("trust", "max_pixels", "batch_size"))
    if others:
        raise ConfigError(f"acclimate predict does not take {' '.join(others)}. It takes run=DIR inputs=PLACE out=FILE.csv.")
    max_pixels, batch_size = (count(keys, key, unit) for key, unit in (("max_pixels", "pixels"), ("batch_size", "inputs")))
    refuse_unwritable(keys)
    selected = selected_checkpoint(keys["run"])
    from acclimate.files import atomic_files
    from acclimate.inference import prediction
    from acclimate.runs import checkpoints

    checkpoint = checkpoints.read_checkpoint(selected)
    rows = prediction.predict(
        checkpoint,
        Path(keys["inputs"]),
        trust=list_of(keys.get("trust")),
        max_pixels=max_pixels,
        batch_size=batch_size,
    )
    table = [("input", "label", "confidence"), *((row.name, row.label, f"{row.confidence:.6f}") for row in rows)]
    atomic_files.write_table(Path(keys["out"]), table)
    print(f"Wrote the predictions for {len(rows)} inputs to {printable(keys['out'])}.")
