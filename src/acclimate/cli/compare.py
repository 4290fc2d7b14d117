"""Compare finished runs in a table.

usage: acclimate compare DIR [DIR ...] [by=SCORE] [out=FILE.json]

Prints one row for each method and for each difference in settings over all finished runs below the folders:
mean and standard deviation over the seeds of the accuracy on the target's test inputs.
Below the table are the method that a score without target labels selects, and its gap to the oracle, the selection
by target test labels. The default is by=corr_c; by=vote uses the mean rank over several scores,
by=ensemble_agreement the agreement with the mean prediction of all runs, and by=NAME a score of conf/selection.
"""

from collections.abc import Sequence
from pathlib import Path

from acclimate.cli.arguments import refuse_unwritable, split_keys
from acclimate.errors import ConfigError


def run(arguments: Sequence[str]) -> None:
    """Print a table of finished runs."""
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
