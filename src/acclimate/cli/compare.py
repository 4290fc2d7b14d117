"""Compare finished runs in a table.

usage: acclimate compare DIR [DIR ...] [by=SCORE] [format=table|markdown|csv|latex|html|json] [out=FILE]

Prints one row for each method and for each difference in settings over all finished runs below the folders: mean, standard
deviation and 95 % confidence interval over n seeds and folds of the accuracy on the target's test inputs, and a paired t-test
against source_only in the same seeds. If the target's labels are unknown, the rows are ordered by the score that selects.
▸ marks the row that a score without target labels selects. Below the table are its best run and its gap to the oracle, the
selection by target test labels, and the runs that have no results. The default is by=corr_c; by=vote uses the mean rank over
several scores, by=ensemble_agreement the agreement with the mean prediction of all runs, and by=NAME a score of conf/selection.

out=FILE writes to a file; the format follows from its ending (.json, .txt, .md, .csv, .tex, .html). HTML is one
file without links to the network: tables that can be sorted and filtered, settings that differ, curves, confusion matrices and
pictures:

  acclimate compare outputs out=comparison.html
  acclimate compare outputs format=markdown
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from acclimate.cli.arguments import refuse_unwritable, refused, split_keys
from acclimate.config.messages import did_you_mean
from acclimate.errors import ConfigError

KEYS = ("by", "format", "out")
FORMATS = ("table", "markdown", "csv", "latex", "html", "json")
ENDINGS = {".json": "json", ".txt": "table", ".md": "markdown", ".csv": "csv", ".tex": "latex", ".html": "html"}


def run(arguments: Sequence[str], *, lists_unfinished: bool = True) -> None:
    """Print a table of finished runs, and write it to a file.

    Args:
        arguments: Folders and keys.
        lists_unfinished: Whether to list the runs without results below the table.
    """
    keys, words = split_keys(arguments, required=(), optional=KEYS)
    folders = _folders(words)
    if keys.get("format", "table") not in FORMATS:
        close = did_you_mean(keys["format"], FORMATS)
        raise ConfigError(f"format={keys['format']} is not a format of the table.{close} Use one of {', '.join(FORMATS)}.")
    file = Path(keys["out"]) if "out" in keys else None
    if file is not None:
        refuse_unwritable(file, () if "format" in keys else list(ENDINGS))
    from acclimate.files.atomic_files import replacing
    from acclimate.reports.comparison_formats import render
    from acclimate.reports.comparison_rows import data_tables
    from acclimate.reports.comparison_table import notes, print_table
    from acclimate.reports.tables import console_of_tables
    from acclimate.runs.comparison import compare_runs
    from acclimate.runs.unfinished import unfinished_runs
    from acclimate.selection.model_selection import pick, pick_by_default

    comparisons = compare_runs(folders)
    picks = pick(comparisons, keys["by"]) if keys.get("by") else pick_by_default(comparisons)
    tables = data_tables(comparisons, picks)
    unfinished = unfinished_runs(folders, [run.folder for comparison in comparisons for run in comparison.runs]) if lists_unfinished else []
    lines = notes(tables, picks, unfinished)
    if file is not None:
        contents = render(tables, picks, lines, unfinished, keys.get("format") or ENDINGS.get(file.suffix.lower(), "json"))
        with replacing(file) as opened:
            opened.write(contents.encode())
    if file is not None or keys.get("format", "table") == "table":
        print_table(console_of_tables(), tables, lines)
    else:
        sys.stdout.write(render(tables, picks, lines, unfinished, keys["format"]))


def _folders(words: Sequence[str]) -> list[Path]:
    """Return the folders that are named, without those that are in others, so that no run counts twice.

    Raises:
        ConfigError: If there is none, or a word cannot be a folder.
    """
    if not words:
        raise ConfigError("acclimate compare needs a folder with runs: acclimate compare outputs.")
    for word in words:
        key = word.partition("=")[0]
        if (key != word or word.startswith("-")) and not Path(word).exists():
            raise ConfigError(refused("compare", [word], KEYS))
    places = {Path(word).resolve(): Path(word) for word in reversed(words)}
    return [named for place, named in reversed(places.items()) if not any(other in place.parents for other in places)]
