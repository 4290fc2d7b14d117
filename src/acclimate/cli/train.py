"""Train, select a checkpoint without target labels, and test it.

usage: acclimate train [GROUP=NAME ...] [KEY=VALUE ...] [-m] [--config-dir DIR] [--cfg job]

Trains, selects a checkpoint without target labels, and tests it. All files are written to outputs/DATE/TIME-METHOD/.

  acclimate train                                        rendered digits to handwriting, with DANN
  acclimate train experiment=own_images data.source=DIR data.target=DIR
                                                         your own images: what to try first if the target has no labels
  acclimate train -m method=source_only,dann_mcc_fixmatch seed=0,1
                                                         a sweep: one run for each combination; the same command continues it
  acclimate train method=dann +terms=mcc                 a method with an additional loss on the target's predictions
  acclimate train resume=DIR                             continues a run that was stopped
  acclimate train resume=DIR trainer.max_epochs=20       trains a finished run for longer
  acclimate train --cfg job                              shows the whole configuration without training

groups:
{groups}

Set keys of a group with GROUP.KEY=VALUE, for example trainer.max_epochs=20 optimizer.lr=0.01
Add terms to a method with +terms=mcc or +terms=[mcc,bnm], and weight them with method.term_weights.mcc=0.5
"""

import logging
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from acclimate.cli import compare
from acclimate.cli.arguments import list_of, refuse_malformed, split_config_dir, split_keys, split_verbosity
from acclimate.config.messages import setting
from acclimate.errors import UserError, command
from acclimate.files.console import show_messages

log = logging.getLogger(__name__)


def run(arguments: Sequence[str]) -> None:
    """Train one run or a sweep, or continue the run in `resume=DIR`."""
    from acclimate.cli.hydra_jobs import run_with_hydra
    from acclimate.cli.jobs import train_job, train_saved

    refuse_malformed(arguments)
    resumed = [text.removeprefix("resume=") for text in arguments if text.startswith("resume=")]
    if resumed and resumed[-1].lower() not in ("true", "false"):
        config_dir, words = split_config_dir(arguments)
        keys, others = split_keys(words, required=("resume",), optional=("trust",))
        train_saved(Path(keys["resume"]), others, list_of(keys.get("trust")), config_dir)
    else:
        run_with_hydra(arguments, train_job, partial(_show_sweep, arguments))


@contextmanager
def _show_sweep(arguments: Sequence[str], folder: Path, num_jobs: Callable[[], int | None], is_lowest_best: bool | None) -> Iterator[None]:
    """Context manager that shows a sweep while it runs, and compares its runs at the end."""
    from acclimate.cli.sweep_report import similar_sweep
    from acclimate.reports.sweep_table import watch

    verbosity, _ = split_verbosity([text.lstrip("+") for text in arguments])
    if verbosity != "quiet" and (similar := similar_sweep(arguments, folder)):
        added = setting("hydra.sweep.dir", str(similar))
        print(f"{similar} is the same sweep over other values, or in another order. To add to it, stop this one and type:")
        print(f"  {command('train', *arguments)} {added}")
    with watch(folder, num_jobs, is_lowest_best=is_lowest_best, is_quiet=verbosity == "quiet"):
        yield
    if any(folder.rglob("metrics.json")):
        # Launchers leave the format of Hydra's own messages.
        show_messages(verbosity, sys.stdout)
        try:
            # The error that follows lists the jobs that failed.
            compare.run([str(folder)], lists_unfinished=False)
        except UserError as error:
            log.warning("%s", error)
            return
        if verbosity != "quiet":
            report = command("compare", str(folder), f"out={folder / 'report.html'}")
            print("\nWhat to try next:", report, shlex.join(["tensorboard", "--logdir", str(folder)]), sep="\n  ")
