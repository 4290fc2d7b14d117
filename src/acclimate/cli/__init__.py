"""The command `acclimate` and its verbs; `--help` answers without importing torch, Lightning or Hydra."""

import io
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from acclimate import __version__
from acclimate.config.groups import did_you_mean, group_options
from acclimate.data.cache import store
from acclimate.errors import ConfigError, Interrupted, StorageError, UserError, command
from acclimate.files.atomic_files import refuse_output
from acclimate.files.full_disk import is_full
from acclimate.files.printable import PrintableRecord, describe, printable, printable_lines
from acclimate.training.stop_signals import StopSignals

USAGE = """\
acclimate: transfer learning and domain adaptation of image classifiers

usage: acclimate VERB [KEY=VALUE ...]

verbs:
  train      trains, selects a checkpoint without target labels, tests it
  evaluate   tests the selected checkpoint of a run again, also on other data
  predict    labels and confidences for a folder of images
  compare    tables over many runs
  cache      lists and clears what was kept to be faster the next time
  rank       orders pretrained models for labelled images, before any training
  chain      trains runs in a row, each on the features of the one before

acclimate VERB --help says more, acclimate --version which version this is. Start with: acclimate train
"""

TRAIN_USAGE = """\
usage: acclimate train [GROUP=NAME ...] [KEY=VALUE ...] [-m] [--config-dir DIR] [--cfg job]

Trains, selects a checkpoint and tests it. Everything is written to outputs/DATE/TIME-METHOD/.

  acclimate train                                        rendered digits to handwriting, with DANN
  acclimate train data=image_folder data.source=DIR data.target=DIR model=efficientnet_lite0
  acclimate train -m method=source_only,dann seed=0,1    a sweep: one run for each combination
  acclimate train method=dann +terms=mcc                 a method with further losses on the target's predictions
  acclimate train resume=DIR                             continues a run that was stopped
  acclimate train resume=DIR trainer.max_epochs=20       trains a finished run for longer
  acclimate train --cfg job                              shows the whole configuration, trains nothing

groups:
{groups}

Keys of a group are set as GROUP.KEY=VALUE, for example trainer.max_epochs=20 optimizer.lr=0.01
Terms are added to a method: +terms=mcc or +terms=[mcc,bnm], with method.term_weights.mcc=0.5 to weight them.
"""

EVALUATE_USAGE = """\
usage: acclimate evaluate run=DIR [out=FILE.json] [allow_seen=true] [trust=MODULE] [GROUP=NAME ...] [KEY=VALUE ...]

Tests the selected checkpoint of a run. Overrides change what it is tested on or with:

  acclimate evaluate run=outputs/DATE/TIME-dann
  acclimate evaluate run=DIR data.target=OTHER
  acclimate evaluate run=DIR data=arrays data.source=A.npz data.target=B.npz trainer=cpu

Images that the run was trained or selected on are refused, copies included, unless allow_seen=true counts them instead.
"""

PREDICT_USAGE = """\
usage: acclimate predict run=DIR images=DIR out=FILE.csv [batch_size=NUMBER] [max_pixels=NUMBER] [trust=MODULE]

Writes one line per image: its path below the folder, the predicted class and the confidence in [0, 1].
A run is data, perhaps a stranger's: code of your own in it needs trust=MODULE.
"""

COMPARE_USAGE = """\
usage: acclimate compare DIR [DIR ...] [by=SCORE] [out=FILE.json]

Prints one row for each method, and for whatever else differs, over all finished runs below the folders:
mean and standard deviation over the seeds of the accuracy on the target's test images.
Below the table is the method that a score prefers which looks at no label of the target, and what it loses against
the oracle, the choice by target test labels. by=corr_c is the default; by=vote takes the mean rank over several
scores, by=ensemble_agreement the agreement with the mean prediction of all runs, and by=NAME a score of conf/selection.
"""

CACHE_USAGE = """\
usage: acclimate cache [clear]

Lists what earlier runs have kept to be faster the next time, such as decoded images, or removes all of it.

  ACCLIMATE_CACHE      the folder, in place of the usual one for caches
  ACCLIMATE_CACHE_GB   what it may take, in gigabytes: {limit:g} unless set; what was used longest ago makes room
"""

RANK_USAGE = """\
usage: acclimate rank model=NAME,NAME,... [data=NAME] [KEY=VALUE ...]

Scores backbones on the labelled training images of the source, without training them, and prints them best first.
Commas separate values, and every combination is scored:

  acclimate rank model=efficientnet_lite0,resnet18,resnet50 data=image_folder data.source=DIR data.target=null
  acclimate rank model=efficientnet_lite0 model.weights=true,null
  acclimate rank model=timm model.backbone.name=resnet10t,mobilenetv3_small_100

The order is that of LogME. The H-score stands beside it where there are more images than features.
"""

CHAIN_USAGE = """\
usage: acclimate chain first.KEY=VALUE ... second.KEY=VALUE ... [third.KEY=VALUE ...] [KEY=VALUE ...]

Trains runs in a row: each takes up the selected classifier of the one before (init_from), after self-supervised
training with a new head. What acclimate train takes may stand behind the name of a stage, or without one for all:

  acclimate chain first.method=simclr second.method=dann
  acclimate chain first.method=rotation first.trainer.max_epochs=20 second.method=dann second.+terms=mcc seed=1
  acclimate chain first.method=source_only second.method=shot hydra.run.dir=DIR
  acclimate chain resume=DIR                             goes on where it was stopped

The runs lie in first/, second/ and third/ of the chain's folder, outputs/DATE/TIME-chain/.
"""

GROUPS = ("data", "model", "method", "terms", "optimizer", "scheduler", "selection", "callbacks", "logger", "trainer", "experiment")


# Of Hydra.
FLAGS_WITH_VALUES = ("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn", "--cfg", "-c", "--package", "-p")


class Verb(NamedTuple):
    """What a verb does and what its --help says."""

    action: Callable[[Sequence[str]], None]
    usage: str


def main() -> None:
    """Run a verb; exit with 2 for what the user can mend and with 128 and its number after a signal."""
    logging.setLogRecordFactory(PrintableRecord)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that lacks a character is no reason to fail.
        sys.stdout.reconfigure(errors="backslashreplace")
    flags, words = divide_arguments(sys.argv[1:])
    if "--version" in flags:
        print(f"acclimate {__version__}")
        return
    if not words or words[0] == "help":
        if set(flags) - {"-h", "--help"}:
            sys.exit(_complain(f"No verb is given with {' '.join(flags)}. Type acclimate train {' '.join(flags)}.", code=2))
        print(USAGE, end="")
        return
    try:
        with StopSignals():
            run_verb(words[0], [*flags, *words[1:]])
    except UserError as error:
        sys.exit(_complain(describe(error), code=2))
    except OSError as error:
        if error.filename is None and not is_full(error):
            raise
        place = error.filename or "A file cannot be written"
        sys.exit(_complain(f"{printable(place)}: {error.strerror}. If results should go elsewhere, type hydra.run.dir=DIR.", code=2))
    except Interrupted as interruption:
        sys.exit(_complain(printable_lines(str(interruption)), code=interruption.exit_code))


def divide_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The flags, with the words that are their values, and the other words: a flag may stand anywhere.

    >>> divide_arguments(["train", "seed=0,1", "-m", "--config-dir", "mine", "method=dann"])
    (['-m', '--config-dir', 'mine'], ['train', 'seed=0,1', 'method=dann'])
    """
    flags: list[str] = []
    words: list[str] = []
    for argument in arguments:
        takes_value = bool(flags) and flags[-1] in FLAGS_WITH_VALUES
        (flags if takes_value or argument.startswith("-") else words).append(argument)
    return flags, words


def run_verb(name: str, arguments: Sequence[str]) -> None:
    """Finds the verb, and prints its usage or calls it.

    Raises:
        ConfigError: If there is no such verb.
    """
    verbs = {
        "train": Verb(train, TRAIN_USAGE),
        "evaluate": Verb(evaluate, EVALUATE_USAGE),
        "predict": Verb(predict, PREDICT_USAGE),
        "compare": Verb(compare, COMPARE_USAGE),
        "cache": Verb(cache, CACHE_USAGE.format(limit=store.DEFAULT_LIMIT)),
        "rank": Verb(rank, RANK_USAGE),
        "chain": Verb(chain, CHAIN_USAGE),
    }
    if name not in verbs:
        raise ConfigError(f"acclimate has no verb {name}.{did_you_mean(name, list(verbs))} It has {', '.join(verbs)}: acclimate --help.")
    if "-h" in arguments or "--help" in arguments:
        groups = "\n".join(f"  {group:<11}{', '.join(group_options(group))}" for group in GROUPS)
        print(verbs[name].usage.replace("{groups}", groups), end="")
        return
    verbs[name].action(arguments)


def train(arguments: Sequence[str]) -> None:
    """`acclimate train`: one run or a sweep; `resume=DIR` continues the run in DIR."""
    from acclimate.cli.jobs import train_job, train_saved
    from acclimate.config.compose import run_with_hydra

    resumed = [text.removeprefix("resume=") for text in arguments if text.startswith("resume=")]
    if resumed and resumed[-1].lower() not in ("true", "false"):
        keys, others = _split_keys(arguments, required=("resume",), optional=("trust",))
        train_saved(Path(keys["resume"]), others, _list_of(keys.get("trust")))
    else:
        run_with_hydra(arguments, train_job)


def chain(arguments: Sequence[str]) -> None:
    """`acclimate chain`: runs in a row; `resume=DIR` skips those that are finished and goes on with the others."""
    from acclimate.cli.jobs import train_resolved
    from acclimate.config.check import check_before_imports, check_config
    from acclimate.config.compose import refuse_missing_files, refuse_several_devices
    from acclimate.files.folders import new_folder
    from acclimate.training.chain import compose_stages, stages_to_resume, write_record

    keys, words = _split_keys(arguments, required=(), optional=("resume", "hydra.run.dir"))
    folder = Path(keys.get("resume") or keys.get("hydra.run.dir") or f"outputs/{datetime.now():%Y-%m-%d/%H-%M-%S}-chain")
    if "resume" in keys:
        trust, words = _split_keys(words, required=(), optional=("trust",))
        stages = stages_to_resume(folder, words, _list_of(trust.get("trust")))
    else:
        stages = compose_stages(words, folder)
    # Before the first stage has trained for long, and what answers without torch before what imports it.
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
            folder, stages = made, compose_stages(words, made)
        write_record(folder, words, stages)
    for name, stage in stages.items():
        try:
            train_resolved(stage.config, stage.overrides)
        except Interrupted as interruption:
            message = f"Stopped in the {name} stage. Continue with: {command('chain', f'resume={folder}')}"
            raise Interrupted(interruption.number, message) from interruption
        except StorageError as error:
            # The run's own message without its advice.
            resume = command("chain", f"resume={folder}")
            raise StorageError(f"{error.__cause__ or error} Then continue with: {resume}") from error


def evaluate(arguments: Sequence[str]) -> None:
    """`acclimate evaluate`: accuracies of a run's selected checkpoint."""
    keys, overrides = _split_keys(arguments, required=("run",), optional=("out", "trust", "allow_seen"))
    _refuse_output(keys)
    allow_seen = keys.get("allow_seen", "false").lower()
    if allow_seen not in ("true", "false"):
        raise ConfigError(f"allow_seen={keys['allow_seen']} must be true or false.")
    selected = _selected_checkpoint(keys)
    from acclimate.config.compose import override
    from acclimate.files import atomic_files
    from acclimate.reports.tables import print_metrics
    from acclimate.runs import checkpoints
    from acclimate.training import evaluation

    checkpoint = checkpoints.read_checkpoint(selected)
    config = checkpoints.trusted_config(checkpoint, _list_of(keys.get("trust")))
    metrics = evaluation.evaluate(override(config, overrides), checkpoint, allow_seen=allow_seen == "true")
    print_metrics(metrics, folder=Path(keys["run"]))
    if "out" in keys:
        atomic_files.write_json(Path(keys["out"]), metrics)


def predict(arguments: Sequence[str]) -> None:
    """`acclimate predict`: a table of predictions for a folder of images."""
    keys, others = _split_keys(arguments, required=("run", "images", "out"), optional=("trust", "max_pixels", "batch_size"))
    if others:
        raise ConfigError(f"acclimate predict does not take {' '.join(others)}. It takes run=DIR images=DIR out=FILE.csv.")
    max_pixels, batch_size = (_count(keys, key, unit) for key, unit in (("max_pixels", "pixels"), ("batch_size", "images")))
    _refuse_output(keys)
    selected = _selected_checkpoint(keys)
    from acclimate.files import atomic_files
    from acclimate.inference import prediction
    from acclimate.runs import checkpoints

    checkpoint = checkpoints.read_checkpoint(selected)
    rows = prediction.predict(
        checkpoint,
        Path(keys["images"]),
        trust=_list_of(keys.get("trust")),
        max_pixels=max_pixels,
        batch_size=batch_size,
    )
    table = [("image", "label", "confidence"), *((row.image, row.label, f"{row.confidence:.6f}") for row in rows)]
    atomic_files.write_table(Path(keys["out"]), table)
    print(f"Wrote the predictions for {len(rows)} images to {printable(keys['out'])}.")


def compare(arguments: Sequence[str]) -> None:
    """`acclimate compare`: a table over finished runs."""
    keys, folders = _split_keys(arguments, required=(), optional=("by", "out"))
    if not folders:
        raise ConfigError("acclimate compare needs a folder with runs: acclimate compare outputs.")
    _refuse_output(keys)
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


def cache(arguments: Sequence[str]) -> None:
    """`acclimate cache`: what is kept, or `acclimate cache clear`."""
    if list(arguments) == ["clear"]:
        print(f"Removed {store.clear() / 1e6:.1f} MB from {store.root()}.")
        return
    if arguments:
        raise ConfigError(f"acclimate cache does not take {' '.join(arguments)}. Type acclimate cache, or acclimate cache clear.")
    from acclimate.reports.tables import print_cache

    print_cache(store.entries(), folder=store.root(), limit=store.limit())


def rank(arguments: Sequence[str]) -> None:
    """`acclimate rank`: a table of pretrained models."""
    if not any(text.startswith("model=") for text in arguments):
        raise ConfigError("acclimate rank needs models: acclimate rank model=efficientnet_lite0,resnet18.")
    from acclimate.config.check import check_before_imports
    from acclimate.config.compose import compose_sweep, refuse_missing_files

    configs = compose_sweep(arguments)
    for config in configs.values():
        check_before_imports(config)
        refuse_missing_files(config)
    # Only now, as they import torch.
    from acclimate.reports.tables import print_ranking
    from acclimate.selection import backbone_ranking

    print_ranking(backbone_ranking.rank(configs))


def _split_keys(arguments: Sequence[str], *, required: Sequence[str], optional: Sequence[str] = ()) -> tuple[dict[str, str], list[str]]:
    """The verb's own keys, and the overrides that remain.

    Raises:
        ConfigError: If a required key is missing.
    """
    pairs = [text.partition("=") for text in arguments]
    keys = {key: value for key, _, value in pairs if key in (*required, *optional)}
    missing = [key for key in required if not keys.get(key)]
    if missing:
        raise ConfigError(f"No value for {', '.join(missing)}. Type {' '.join(f'{key}=...' for key in required)}.")
    return keys, [text for text in arguments if text.partition("=")[0] not in keys]


def _count(keys: Mapping[str, str], key: str, unit: str) -> int | None:
    """The number that a key is set to; None if it is not set.

    Raises:
        ConfigError: If it is no whole number from 1 on.
    """
    text = keys.get(key, "1")
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise ConfigError(f"{key}={text} must be a whole number of {unit}, at least 1.")
    return int(text) if key in keys else None


def _selected_checkpoint(keys: Mapping[str, str]) -> Path:
    """The selected checkpoint of `run=DIR`.

    Raises:
        ConfigError: If there is none.
    """
    from acclimate.runs.checkpoint_files import best_checkpoint, refuse_missing

    selected = best_checkpoint(Path(keys["run"]))
    refuse_missing(selected)
    return selected


def _refuse_output(keys: Mapping[str, str]) -> None:
    """Check before any work is done that `out=FILE` can be written.

    Raises:
        StorageError: If it cannot.
    """
    if "out" in keys:
        refuse_output(Path(keys["out"]))


def _list_of(text: str | None) -> list[str]:
    """The list that a word such as trust=[a,b] or trust=a gives.

    >>> _list_of("[a, b]"), _list_of("a"), _list_of(None)
    (['a', 'b'], ['a'], [])
    """
    return [word.strip("'\" ") for word in (text or "").strip("[] ").split(",") if word.strip("'\" ")]


def _complain(message: str, *, code: int) -> int:
    print(f"acclimate: {message}", file=sys.stderr)
    return code
