"""The command `acclimate`: one module per verb, whose docstring is its help.

A verb is a module listed in `VERBS` with a function `run`, which takes the arguments after the verb. `--help` answers without
importing torch, Lightning or Hydra.
"""

import importlib
import inspect
import io
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from types import ModuleType

from acclimate import __version__
from acclimate.cli.arguments import divide_arguments, split_verbosity
from acclimate.config.groups import group_options
from acclimate.config.messages import did_you_mean
from acclimate.data.cache.store import DEFAULT_LIMIT
from acclimate.errors import ConfigError, Interrupted, UserError, command
from acclimate.files.console import show_messages
from acclimate.files.full_disk import is_full
from acclimate.files.printable import PrintableRecord, printable, printable_error, printable_lines
from acclimate.training.stop_signals import StopSignals

VERBS = ("train", "evaluate", "predict", "compare", "cache", "rank", "chain")
# They log to standard output and to files, and set the verbosity themselves.
TRAINING = ("train", "chain")
# Programs may read their standard output, so messages are on standard error.
READ_BY_PROGRAMS = ("predict", "compare", "cache")
USAGE = """\
acclimate: transfer learning and domain adaptation of classifiers

usage: acclimate VERB [KEY=VALUE ...]

verbs:
{verbs}

Type acclimate VERB --help for details, and acclimate --version for the version. Start with: acclimate train
"""
VERBOSITY = """\
verbosity=quiet shows only warnings, errors and the results; verbosity=debug also details and tracebacks.
"""
GROUPS = ("data", "model", "method", "terms", "optimizer", "scheduler", "selection", "callbacks", "logger", "trainer", "experiment")


def main() -> None:
    """Run a verb; exit with 2 after a mistake of the user and with 128 plus its number after a signal."""
    logging.setLogRecordFactory(PrintableRecord)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Do not fail if a terminal cannot show a character.
        sys.stdout.reconfigure(errors="backslashreplace")
    flags, words = divide_arguments(sys.argv[1:])
    if "--version" in flags:
        print(f"acclimate {__version__}")
        return
    if not words or words[0] == "help":
        if set(flags) - {"-h", "--help"}:
            sys.exit(_complain(f"No verb is given with {' '.join(flags)}. Type {command('train', *flags)}.", code=2))
        print(_usage(), end="")
        return
    try:
        with StopSignals():
            run_verb(words[0], [*flags, *words[1:]])
    except UserError as error:
        if "verbosity=debug" in words or os.environ.get("ACCLIMATE_DEBUG", "0") not in ("", "0"):
            traceback.print_exc()
        sys.exit(_complain(printable_error(error), code=2))
    except OSError as error:
        if error.filename is None and not is_full(error):
            raise
        place = error.filename or "A file cannot be written"
        sys.exit(_complain(f"{printable(place)}: {error.strerror}. If results should go elsewhere, type hydra.run.dir=DIR.", code=2))
    except Interrupted as interruption:
        sys.exit(_complain(printable_lines(str(interruption)), code=interruption.exit_code))


def run_verb(name: str, arguments: Sequence[str]) -> None:
    """Run a verb or print its help.

    Raises:
        ConfigError: If there is no such verb.
    """
    if name not in VERBS:
        raise ConfigError(f"acclimate has no verb {name}.{did_you_mean(name, VERBS)} It has {', '.join(VERBS)}: acclimate --help.")
    if "-h" in arguments or "--help" in arguments:
        print(_help(_verb(name)), end="")
        return
    if name not in TRAINING:
        verbosity, others = split_verbosity(arguments)
        show_messages(verbosity, sys.stderr if name in READ_BY_PROGRAMS else sys.stdout)
        # The configuration of a run has this key, too, and hides the progress bar.
        arguments = [*others, f"verbosity={verbosity}"] if name == "evaluate" else others
    _verb(name).run(arguments)


def _verb(name: str) -> ModuleType:
    return importlib.import_module(f"acclimate.cli.{name}")


def _paragraphs(verb: ModuleType) -> list[str]:
    """Return the paragraphs of a verb's docstring: the summary, the usage and the rest."""
    return inspect.cleandoc(verb.__doc__ or "").split("\n\n", maxsplit=2)


def _usage() -> str:
    return USAGE.format(verbs="\n".join(f"  {name:<11}{_paragraphs(_verb(name))[0]}" for name in VERBS))


def _help(verb: ModuleType) -> str:
    _, usage, details = _paragraphs(verb)
    groups = "\n".join(f"  {group:<11}{', '.join(group_options(group))}" for group in GROUPS)
    about_verbosity = "" if verb.__name__.endswith(TRAINING) else f"\n{VERBOSITY}"
    return f"{usage}\n\n{details}\n{about_verbosity}".replace("{groups}", groups).replace("{limit}", f"{DEFAULT_LIMIT:g}")


def _complain(message: str, *, code: int) -> int:
    print(f"acclimate: {message}", file=sys.stderr)
    return code
