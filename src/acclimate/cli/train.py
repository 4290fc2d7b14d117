"""Train, select a checkpoint without target labels, and test it.

usage: acclimate train [GROUP=NAME ...] [KEY=VALUE ...] [-m] [--config-dir DIR] [--cfg job]

Trains, selects a checkpoint without target labels, and tests it. All files are written to outputs/DATE/TIME-METHOD/.

  acclimate train                                        rendered digits to handwriting, with DANN
  acclimate train experiment=own_images data.source=DIR data.target=DIR
                                                         your own images: what to try first if the target has no labels
  acclimate train -m method=source_only,dann_mcc_fixmatch seed=0,1
                                                         a sweep: one run for each combination
  acclimate train method=dann +terms=mcc                 a method with an additional loss on the target's predictions
  acclimate train resume=DIR                             continues a run that was stopped
  acclimate train resume=DIR trainer.max_epochs=20       trains a finished run for longer
  acclimate train --cfg job                              shows the whole configuration without training

groups:
{groups}

Set keys of a group with GROUP.KEY=VALUE, for example trainer.max_epochs=20 optimizer.lr=0.01
Add terms to a method with +terms=mcc or +terms=[mcc,bnm], and weight them with method.term_weights.mcc=0.5
"""

from collections.abc import Sequence
from pathlib import Path

from acclimate.cli.arguments import list_of, split_config_dir, split_keys


def run(arguments: Sequence[str]) -> None:
    """Train one run or a sweep, or continue the run in `resume=DIR`."""
    from acclimate.cli.jobs import train_job, train_saved
    from acclimate.config.hydra_jobs import run_with_hydra

    resumed = [text.removeprefix("resume=") for text in arguments if text.startswith("resume=")]
    if resumed and resumed[-1].lower() not in ("true", "false"):
        config_dir, words = split_config_dir(arguments)
        keys, others = split_keys(words, required=("resume",), optional=("trust",))
        train_saved(Path(keys["resume"]), others, list_of(keys.get("trust")), config_dir)
    else:
        run_with_hydra(arguments, train_job)
