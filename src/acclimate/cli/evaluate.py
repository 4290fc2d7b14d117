"""Test the selected checkpoint of a run again, on the same or on other data.

usage: acclimate evaluate run=DIR [out=FILE.json] [allow_seen=true] [trust=MODULE] [GROUP=NAME ...] [KEY=VALUE ...] [--config-dir DIR]

Tests the selected checkpoint of a run. Overrides change the data and the settings of the test:

  acclimate evaluate run=outputs/DATE/TIME-dann
  acclimate evaluate run=DIR data.target=OTHER
  acclimate evaluate run=DIR data=arrays data.source=A.npz data.target=B.npz trainer=cpu

Inputs that the run was trained or selected on, including copies, are refused; with allow_seen=true, they are counted.
"""

from collections.abc import Sequence
from pathlib import Path

import acclimate
from acclimate.cli.arguments import list_of, refuse_unwritable, split_config_dir, split_keys
from acclimate.errors import ConfigError


def run(arguments: Sequence[str]) -> None:
    """Print the accuracies of a run's selected checkpoint."""
    config_dir, words = split_config_dir(arguments)
    keys, overrides = split_keys(words, required=("run",), optional=("out", "trust", "allow_seen"))
    refuse_unwritable(keys)
    allow_seen = keys.get("allow_seen", "false").lower()
    if allow_seen not in ("true", "false"):
        raise ConfigError(f"allow_seen={keys['allow_seen']} must be true or false.")
    trust = list_of(keys.get("trust"))
    metrics = acclimate.evaluate(keys["run"], overrides, allow_seen=allow_seen == "true", trust=trust, config_dir=config_dir)
    from acclimate.files import atomic_files
    from acclimate.reports.tables import print_metrics

    print_metrics(metrics, folder=Path(keys["run"]))
    if "out" in keys:
        atomic_files.write_json(Path(keys["out"]), metrics)
