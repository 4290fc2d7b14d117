"""Transfer learning and unsupervised domain adaptation of image classifiers.

In Python as on the command line:

    import acclimate

    config = acclimate.compose(["method=dann", "seed=1"])
    metrics = acclimate.train(config)
    model = acclimate.load(config["folder"])
    labels, probabilities, _ = model.predict(["a.jpg", "b.png"])

Whatever a user can mend is raised as an `acclimate.errors.UserError`, with the message that the command prints.
"""

# All else is imported by the functions, as `import acclimate` and `acclimate --help` are not to wait for torch.
from collections.abc import Collection, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acclimate.inference.predictor import Predictor

__version__ = "0.1.0"
__all__ = ["__version__", "compose", "evaluate", "load", "train"]


def compose(
    overrides: Sequence[str] = (), *, folder: str | PathLike[str] | None = None, config_dir: str | PathLike[str] | None = None
) -> dict[str, Any]:
    """Compose the configuration of a run.

    Args:
        overrides: As typed behind `acclimate train`, such as `["data=arrays", "data.source=a.npz", "optimizer.lr=0.01"]`.
        folder: Where the run writes; None makes a new folder, `outputs/DATE/TIME-METHOD`, which no other run takes.
        config_dir: A folder with configs of your own, as for `--config-dir`.

    Returns:
        Plain dictionaries, lists and values; `config["folder"]` is the folder of the run.

    Raises:
        ConfigError: If the overrides cannot be read, or name a config that does not exist.

    >>> config = compose(["method=cdan", "seed=1"], folder="outputs/example")
    >>> config["name"], config["seed"], config["folder"]
    ('cdan', 1, 'outputs/example')
    """
    from pathlib import Path

    from acclimate.config import compose as composition

    return composition.compose(overrides, *(None if place is None else Path(place) for place in (folder, config_dir)))


def train(config: Mapping[str, Any]) -> dict[str, Any]:
    """Train a run, select a checkpoint without target labels, and test it.

    The run's folder gets all that `acclimate train` writes, except `train.log` and `.hydra/`. A folder whose run is finished or
    was stopped is taken up with `config | {"resume": True}`.

    Args:
        config: As `compose` returns it; values may have been changed since.

    Returns:
        The contents of `metrics.json`: accuracies in [0, 1] by names such as `target/test_accuracy`, and how it was trained.

    Raises:
        UserError: If the configuration, the data or the course of training is not as it must be.
        Interrupted: If a signal, such as that of Ctrl-C, stopped the run.
    """
    from acclimate.config.check import check_before_imports
    from acclimate.config.machine import refuse_missing_files

    config = dict(config)
    check_before_imports(config)
    refuse_missing_files(config)
    # Only now, as a mistake in the configuration is to be answered without waiting for torch.
    from acclimate.training import run

    return run.train(config)


def evaluate(
    run: str | PathLike[str], overrides: Sequence[str] = (), *, allow_seen: bool = False, trust: Collection[str] = ()
) -> dict[str, Any]:
    """Test the selected checkpoint of a run again, also on other data.

    Args:
        run: The folder of a finished run, or a checkpoint.
        overrides: Changes, as typed behind `acclimate evaluate`, such as `["data.target=other.npz", "trainer=cpu"]`.
        allow_seen: Whether it may be tested on images that it was trained or selected on; they are counted then.
        trust: Modules, or full names of classes and functions, of your own that the run may be built from.

    Returns:
        Accuracies in [0, 1] by names such as `target/test_accuracy`, and the value of the selection.

    Raises:
        UserError: If there is no such run, it names what is not to be built, or the data do not fit its model.
    """
    from acclimate.runs.checkpoint_files import selected_checkpoint

    selected = selected_checkpoint(run)
    from acclimate.config.compose import override
    from acclimate.runs.checkpoints import read_checkpoint, trusted_config
    from acclimate.training import evaluation

    checkpoint = read_checkpoint(selected)
    config = override(trusted_config(checkpoint, trust), overrides)
    return evaluation.evaluate(config, checkpoint, allow_seen=allow_seen)


def load(run: str | PathLike[str], *, trust: Collection[str] = (), device: str | None = None) -> "Predictor":
    """Load the selected model of a run, to predict with. It needs neither Hydra nor Lightning.

    Args:
        run: The folder of a finished run, or a checkpoint, perhaps a stranger's: what it names is built only if it is part of
            this package or trusted.
        trust: Modules, or full names of classes and functions, of your own that the model may be built from.
        device: That computes, such as `cpu` or `cuda:1`; None takes the first GPU, or the CPU where there is none.

    Returns:
        A model whose `predict` takes paths, arrays and images of Pillow.

    Raises:
        ConfigError: If there is no such run, it has no trained head, its model is not to be built, or there is no such device.
    """
    from acclimate.runs.checkpoint_files import selected_checkpoint

    selected = selected_checkpoint(run)
    from acclimate.inference.predictor import Predictor
    from acclimate.runs.checkpoints import read_checkpoint

    return Predictor(read_checkpoint(selected), trust=trust, device=device)
