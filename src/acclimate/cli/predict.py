"""Write labels and confidences for images, or a table of vectors.

usage: acclimate predict run=DIR inputs=PLACE out=FILE.csv [on_bad_image=error|skip] [batch_size=NUMBER] [max_pixels=NUMBER]
                         [trust=MODULE]

Writes one line for each input: the path of an image, below the folder if one is given, or the number of a row; the predicted
class; and the confidence in [0, 1].

  acclimate predict run=DIR inputs=photos out=labels.csv             all images below a folder
  acclimate predict run=DIR 'inputs=[a.jpg,b.jpg]' out=labels.csv    a list of images and folders, or a single image
  acclimate predict run=DIR inputs=- out=labels.csv < paths.txt      the paths in standard input, one per line
  acclimate predict run=DIR inputs=table.csv out=-                   a table of vectors; - is standard output

With on_bad_image=skip, images that cannot be read have a line without a label, and the reason in the column problem. With
on_bad_image=error the first of them is named, and nothing is written. The default is the run's data.on_bad_image.
A run may come from somebody else, so your own code in it needs trust=MODULE.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from acclimate.cli.arguments import count, list_of, refuse_unwritable, refused, split_keys
from acclimate.errors import ConfigError
from acclimate.files.printable import printable
from acclimate.runs.checkpoint_files import selected_checkpoint

REQUIRED, OPTIONAL = ("run", "inputs", "out"), ("on_bad_image", "batch_size", "max_pixels", "trust")
STANDARD_OUTPUT = Path("/dev/stdout")


def run(arguments: Sequence[str]) -> None:
    """Write a table of predictions for the given inputs."""
    keys, others = split_keys(arguments, required=REQUIRED, optional=OPTIONAL)
    if others:
        raise ConfigError(refused("predict", others, (*REQUIRED, *OPTIONAL)))
    max_pixels, batch_size = (count(keys, key, unit) for key, unit in (("max_pixels", "pixels"), ("batch_size", "inputs")))
    out = STANDARD_OUTPUT if keys["out"] == "-" else Path(keys["out"])
    refuse_unwritable(out, [".csv", ".txt"])
    selected = selected_checkpoint(keys["run"])
    places = places_of(keys["inputs"], out)
    from acclimate.files import atomic_files
    from acclimate.inference import prediction
    from acclimate.runs import checkpoints

    checkpoint = checkpoints.read_checkpoint(selected)
    rows = prediction.predict(
        checkpoint,
        places,
        trust=list_of(keys.get("trust")),
        max_pixels=max_pixels,
        on_bad_image=keys.get("on_bad_image"),
        batch_size=batch_size,
        out=out,
    )
    table = [(row.name, row.label, "" if row.problem else f"{row.confidence:.6f}", row.problem) for row in rows]
    atomic_files.write_table(out, [("input", "label", "confidence", "problem"), *table])
    bad = sum(bool(row.problem) for row in rows)
    left_out = f" {bad} more cannot be read: see the column problem." if bad else ""
    # The table may be on standard output.
    print(
        f"Wrote the predictions for {len(rows) - bad} inputs to {'standard output' if keys['out'] == '-' else printable(out)}.{left_out}",
        file=sys.stderr if out == STANDARD_OUTPUT else sys.stdout,
    )


def places_of(text: str, out: Path) -> Path | list[Path]:
    """Return the folder or file that an argument names, or a list of them.

    Args:
        text: A path, a list such as `[a.jpg,b.jpg]`, or `-` for the paths in standard input, one per line.
        out: The table of predictions, which an earlier call may have written beside the inputs; lists leave it out.

    Raises:
        ConfigError: If a list is empty.
    """
    if text == "-":
        names = [os.fsdecode(line.rstrip(b"\r\n")) for line in sys.stdin.buffer]
    elif text.startswith("[") and text.endswith("]") and not Path(text).exists():
        names = list_of(text)
    else:
        return Path(text)
    own = os.path.realpath(out) if out.suffix == ".csv" else None
    if places := [Path(name) for name in names if name and os.path.realpath(name) != own]:
        return places
    raise ConfigError(f"inputs={text} names no inputs. Type inputs=DIR, inputs=[FILE,FILE] or inputs=- < FILE.")
