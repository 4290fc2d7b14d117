"""Test the selected checkpoint of a run again, on the same or on other data.

usage: acclimate evaluate run=DIR [out=FILE.json] [mistakes=FOLDER] [allow_seen=true] [trust=MODULE] [--config-dir DIR]
                          [GROUP=NAME ...] [KEY=VALUE ...]

Tests the selected checkpoint of a run, and prints its accuracies and those of each class. out=FILE.json writes them to a
file, and those of each class next to it, to FILE-per_class.csv. mistakes=FOLDER copies the misclassified and the most
uncertain test inputs into a new folder, named TRUE-PREDICTED-CONFIDENCE-ROW. Overrides change the data and the settings of
the test:

  acclimate evaluate run=outputs/DATE/TIME-dann
  acclimate evaluate run=DIR data.target=OTHER
  acclimate evaluate run=DIR data=arrays data.source=A.npz data.target=B.npz trainer=cpu

Inputs that the run was trained or selected on, including copies, are refused; with allow_seen=true, they are counted.
"""

from collections.abc import Sequence
from pathlib import Path

import acclimate
from acclimate.cli.arguments import list_of, refuse_unwritable, refuse_used_folder, split_config_dir, split_keys
from acclimate.errors import ConfigError
from acclimate.files.printable import printable


def run(arguments: Sequence[str]) -> None:
    """Print the accuracies of a run's selected checkpoint."""
    config_dir, words = split_config_dir(arguments)
    keys, overrides = split_keys(words, required=("run",), optional=("out", "mistakes", "trust", "allow_seen"))
    file = Path(keys["out"]) if "out" in keys else None
    if file is not None:
        refuse_unwritable(file, [".json"])
    mistakes = keys.get("mistakes")
    if mistakes is not None:
        refuse_used_folder(Path(mistakes), "mistakes")
    allow_seen = keys.get("allow_seen", "false").lower()
    if allow_seen not in ("true", "false"):
        raise ConfigError(f"allow_seen={keys['allow_seen']} must be true or false.")
    trust = list_of(keys.get("trust"))
    metrics = acclimate.evaluate(
        keys["run"], overrides, allow_seen=allow_seen == "true", trust=trust, config_dir=config_dir, mistakes=mistakes
    )
    from acclimate.files import atomic_files
    from acclimate.reports.tables import print_class_results, print_metrics
    from acclimate.training.class_results import PER_CLASS, write_class_results

    classes = metrics.pop("per_class")
    print_metrics(metrics)
    print_class_results(classes)
    if mistakes is not None:
        print(printable(f"The misclassified and the most uncertain test inputs are in {mistakes}"))
    if file is not None:
        atomic_files.write_json(file, metrics)
        if classes and file.is_file() and not atomic_files.DESCRIPTOR.fullmatch(str(file)):
            # Not next to /dev/stdout.
            write_class_results(file.with_name(f"{file.stem}-{PER_CLASS}"), classes)
