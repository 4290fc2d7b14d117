"""Print tables over many runs.

usage: acclimate compare DIR [DIR ...] [by=SCORE] [out=FILE.json]

Prints one row for each method, and for whatever else differs, over all finished runs below the folders:
mean and standard deviation over the seeds of the accuracy on the target's test images.
Below the table is the method that a score prefers which looks at no label of the target, and what it loses against
the oracle, the choice by target test labels. by=corr_c is the default; by=vote takes the mean rank over several
scores, by=ensemble_agreement the agreement with the mean prediction of all runs, and by=NAME a score of conf/selection.
"""

from collections.abc import Sequence
from pathlib import Path

from acclimate.cli.arguments import refuse_unwritable, split_keys
from acclimate.errors import ConfigError


def run(arguments: Sequence[str]) -> None:
    """Print a table over finished runs."""
    keys, folders = split_keys(arguments, required=(), optional=("by", "out"))
    if not folders:
        raise ConfigError("acclimate compare needs a folder with runs: acclimate compare outputs.")
    refuse_unwritable(keys)
    from acclimate.reports.tables import print_comparison
    from acclimate.runs.comparison import compare_runs
    from acclimate.selection.model_selection import pick, pick_by_default

    comparisons = compare_runs([Path(folder) for folder in folders])
    picks = pick(comparisons, keys["by"]) if keys.get("by") else pick_by_default(comparisons)
    print_comparison(comparisons, picks)
    if "out" in keys:
        from acclimate.files.atomic_files import write_json

        methods = [{"name": one.name, "runs": [{"folder": str(run.folder), **run.metrics} for run in one.runs]} for one in comparisons]
        contents = [pick._asdict() | {"data": sorted(pick.data), "run": str(pick.run)} for pick in picks]
        write_json(Path(keys["out"]), {"methods": methods, "picks": contents})
