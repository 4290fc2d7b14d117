"""Known-good small runs with random changes, which must be refused with a message or train to sensible metrics.

From the tests' folder, python random_configurations.py 1000 tries so many; a second number is the first seed.
"""

import copy
import inspect
import json
import logging
import math
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import typing
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from small_runs import METHODS, compose, write_archives

from acclimate.config.components import PROVIDED
from acclimate.config.foreign import limits
from acclimate.config.groups import group_options
from acclimate.config.instantiate import locate
from acclimate.config.method_options import declared_needs
from acclimate.config.signatures import parameters, type_hints
from acclimate.config.values import alternatives
from acclimate.errors import UserError
from acclimate.training import run

NUMBERS = [0, 1, 2, 3, 5, -1, -2, 0.0, 0.5, 1.0, 1.5, -0.5, 1e-9, 1e-300, 1e20, 1e300, 10**6, 10**12, 10**30, math.inf, -math.inf, math.nan]
# What fits many parameters.
USUAL = [1, 2, 3, 4, 7, 8, 16, 24, 100, 0.001, 0.01, 0.1, 0.25, 0.5, 0.9, 1.0]
OTHERS = [None, True, False, "", "nope", "none", "1", "a b", [], [0], [1, 2], ["x"], {}, {"a": 1}, {"_target_": "nowhere.Thing"}]
# So large that they would take long where they are allowed.
SLOW = {
    "max_epochs",
    "max_steps",
    "min_epochs",
    "min_steps",
    "num_critic_steps",
    "num_feature_steps",
    "num_workers",
    "compile",
}
SECONDS = 60
TARGETS = [
    "acclimate.schedules.constant",
    "acclimate.methods.dann.Dann",
    "acclimate.training.callbacks.pictures.Pictures",
    "acclimate.errors.ConfigError",
    "torch.nn.Linear",
    "math.pi",
    "nope",
]


class Outcome(NamedTuple):
    """The outcome of a configuration: refused, trained, absurd or traceback."""

    kind: str
    text: str


def nodes(config: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """All nodes with a target, by their keys."""
    if isinstance(config, dict):
        if "_target_" in config:
            yield path, config
        for key, value in config.items():
            yield from nodes(value, f"{path}.{key}" if path else key)


def choices(hint: Any) -> list[Any]:
    """The values that an annotation lists."""
    listed = [choice for one in alternatives(hint) for choice in typing.get_args(one) if isinstance(choice, str | int)]
    return [*listed, *([True, False] if bool in alternatives(hint) else [])]


def candidates(hint: Any, rng: random.Random) -> Any:
    """A value that may or may not fit an annotation."""
    if (listed := choices(hint)) and rng.random() < 0.8:
        return rng.choice(listed)
    pool: list[Any] = rng.choice([USUAL, USUAL, NUMBERS, OTHERS])
    return rng.choice(pool)


def change(config: dict[str, Any], rng: random.Random) -> str:
    """Set a random parameter of a random node, or a key at the top, to a random value; return both as one would type them."""
    if rng.random() < 0.1:
        key = rng.choice(["seed", "init_from", "resume", "folder", *(group for group in ("data", "model", "method", "optimizer"))])
        config[key] = rng.choice(NUMBERS + OTHERS)
        return f"{key}={config[key]!r}"
    path, node = rng.choice(list(nodes(config)))
    try:
        target = locate(node["_target_"])
    except (ImportError, AttributeError):
        target = None
    if not callable(target):
        # Of a change before this one.
        return ""
    hints = type_hints(target) | limits(node["_target_"])
    accepted = [
        name
        for name, parameter in parameters(target).items()
        if parameter.kind not in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL) and name not in PROVIDED.get(path, set())
    ]
    name = rng.choice([*accepted, *(["_partial_", "_target_"] if rng.random() < 0.2 else [])] or ["nothing"])
    value = rng.choice(TARGETS) if name == "_target_" else candidates(hints.get(name, Any), rng)
    if name in SLOW and isinstance(value, int) and value > 5:
        value = 3
    if name == "num_nodes" and isinstance(value, int) and value > 1:
        # It would wait for the other machines.
        value = 1
    node[name] = value
    return f"{path}.{name}={value!r}"


def draw(seed: int, folder: Path, archives: list[str]) -> tuple[dict[str, Any], list[str]]:
    """A small run with one to three random changes, and these."""
    rng = random.Random(seed)
    method = rng.choice([name for name in METHODS if name != "co_tuning"])
    groups = [
        f"method={method}",
        f"optimizer={rng.choice(group_options('optimizer'))}",
        f"scheduler={rng.choice(group_options('scheduler'))}",
    ]
    if rng.random() < 0.3:
        groups.append(f"selection={rng.choice(group_options('selection'))}")
    if rng.random() < 0.3:
        groups.append("callbacks=early_stopping")
    if rng.random() < 0.3:
        groups.append(f"logger={rng.choice(group_options('logger'))}")
    config = copy.deepcopy(compose(folder, *archives, *groups, "trainer.max_epochs=1", "trainer.limit_train_batches=3"))
    return config, [" ".join(groups), *(change(config, rng) for _ in range(rng.choice([1, 1, 1, 2, 3])))]


def attempt(config: dict[str, Any]) -> Outcome:
    """Trains, unless the configuration is refused."""

    def too_long(number: int, frame: Any) -> None:
        raise TimeoutError(f"It takes more than {SECONDS} seconds.")

    previous = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS)
    try:
        metrics = run.train(config)
    except UserError as error:
        return Outcome("refused", str(error))
    except BaseException:
        return Outcome("traceback", traceback.format_exc())
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
    return judge(config, metrics)


def judge(config: dict[str, Any], metrics: dict[str, Any]) -> Outcome:
    """Check that a finished run has trained, has been tested, and reports it in numbers."""
    faults = [f"{name}={value}" for name, value in metrics.items() if isinstance(value, float) and not math.isfinite(value)]
    written = Path(config["folder"]) / "metrics.json"
    if not written.exists():
        faults.append("there is no metrics.json")
    else:
        json.loads(written.read_text(), parse_constant=lambda text: faults.append(f"{text} in metrics.json"))
    if metrics.get("train/steps", 0) < 1 and not config["method"]["_target_"].endswith("AdaBn"):
        faults.append("no step was taken")
    if "selection/value" not in metrics or not (Path(config["folder"]) / "checkpoints" / "best.ckpt").exists():
        faults.append("nothing was selected")
    tested = [value for name, value in metrics.items() if "test_" in name and "accuracy" in name]
    if not (tested or declared_needs(config["method"]).is_self_supervised) or not all(0 <= value <= 1 for value in tested):
        faults.append(f"test accuracies are {tested}")
    return Outcome("absurd", ", ".join(faults)) if faults else Outcome("trained", "")


def quiet() -> None:
    """Only what is found matters."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.CRITICAL)


def main(number: int, first: int = 0) -> int:
    """Tries so many configurations; returns how many were neither refused nor sensible."""
    quiet()
    counts: Counter[str] = Counter()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        archives = write_archives(Path(name))
        # Where folders lie that a change names.
        os.chdir(name)
        for seed in range(first, first + number):
            folder = Path(name) / str(seed)
            began = time.monotonic()
            config, changes = draw(seed, folder, archives)
            outcome = attempt(config)
            counts[outcome.kind] += 1
            took = time.monotonic() - began
            if outcome.kind in ("traceback", "absurd") or took > 10:
                print(f"{seed} ({took:.0f} s): {outcome.kind}: {changes}\n{outcome.text[-1500:]}\n", flush=True)
            shutil.rmtree(folder, ignore_errors=True)
    print(f"{dict(counts)} in {time.monotonic() - start:.0f} s")
    return counts["traceback"] + counts["absurd"]


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])) > 0)
