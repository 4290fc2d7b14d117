"""Train several runs in sequence, each starting from the previous one.

usage: acclimate chain first.KEY=VALUE ... second.KEY=VALUE ... [third.KEY=VALUE ...] [KEY=VALUE ...] [--config-dir DIR]

Trains several runs in sequence: each starts from the selected classifier of the previous one (init_from), with a new head
after self-supervised training. Overrides of acclimate train apply to the stage whose name precedes them, or to all stages:

  acclimate chain first.method=simclr second.method=dann
  acclimate chain first.method=rotation first.trainer.max_epochs=20 second.method=dann second.+terms=mcc seed=1
  acclimate chain first.method=source_only second.method=shot hydra.run.dir=DIR
  acclimate chain resume=DIR                             continues a chain that was stopped

The runs are in first/, second/ and third/ of the chain's folder, outputs/DATE/TIME-chain/.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from acclimate.cli.arguments import list_of, split_config_dir, split_keys
from acclimate.errors import Interrupted, StorageError, command


def run(arguments: Sequence[str]) -> None:
    """Train several runs in sequence; `resume=DIR` skips those that are finished and continues with the others."""
    from acclimate.cli.jobs import train_resolved
    from acclimate.config.check import check_before_imports, check_config
    from acclimate.config.machine import refuse_missing_files, refuse_several_devices
    from acclimate.files.folders import new_folder
    from acclimate.training.chain import compose_stages, stages_to_resume, write_record

    config_dir, words = split_config_dir(arguments)
    keys, words = split_keys(words, required=(), optional=("resume", "hydra.run.dir"))
    folder = Path(keys.get("resume") or keys.get("hydra.run.dir") or f"outputs/{datetime.now():%Y-%m-%d/%H-%M-%S}-chain")
    if "resume" in keys:
        trust, words = split_keys(words, required=(), optional=("trust",))
        stages = stages_to_resume(folder, words, list_of(trust.get("trust")))
    else:
        stages = compose_stages(words, folder, config_dir)
    # Check all stages before the first one trains, and run the checks without torch before those that import it.
    for stage in stages.values():
        check_before_imports(stage.config)
    refuse_missing_files(next(iter(stages.values())).config)
    for stage in stages.values():
        check_config(stage.config)
        refuse_several_devices(stage.config, "A chain")
    from acclimate.runs.checkpoints import refuse_successor

    for first, second in pairwise(stages.values()):
        refuse_successor(first.config, second.config)
    if "resume" not in keys:
        if "hydra.run.dir" not in keys and (made := new_folder(folder)) != folder:
            folder, stages = made, compose_stages(words, made, config_dir)
        write_record(folder, words, stages)
    for name, stage in stages.items():
        try:
            train_resolved(stage.config, stage.overrides, is_last=name == list(stages)[-1])
        except Interrupted as interruption:
            message = f"Stopped in the {name} stage. Continue with: {command('chain', f'resume={folder}')}"
            raise Interrupted(interruption.number, message) from interruption
        except StorageError as error:
            # The message of the run without its advice.
            resume = command("chain", f"resume={folder}")
            raise StorageError(f"{error.__cause__ or error} Then continue with: {resume}") from error
