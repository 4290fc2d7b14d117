"""Transfer learning and unsupervised domain adaptation of classifiers.

The Python interface mirrors the command line:

    import acclimate

    config = acclimate.compose(["method=dann", "seed=1"])
    metrics = acclimate.train(config)
    model = acclimate.load(config["folder"])
    labels, probabilities, _ = model.predict(["a.jpg", "b.png"])

Mistakes that the user can correct are raised as `acclimate.errors.UserError`, with the message that the command prints.
"""

# The functions import everything else, so that `import acclimate` and `acclimate --help` do not wait for torch.
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
        overrides: Overrides of `acclimate train`, such as `["data=arrays", "data.source=a.npz", "optimizer.lr=0.01"]`.
        folder: The folder of the run; None creates a new folder, `outputs/DATE/TIME-METHOD`, that no other run uses.
        config_dir: A folder with your own configs, as for `--config-dir`.

    Returns:
        Plain dictionaries, lists and values; `config["folder"]` is the folder of the run.

    Raises:
        ConfigError: If the overrides cannot be read, or name a config that does not exist, or `config_dir` is no folder.

    >>> config = compose(["method=cdan", "seed=1"], folder="outputs/example")
    >>> config["name"], config["seed"], config["folder"]
    ('cdan', 1, 'outputs/example')
    """
    from pathlib import Path

    from acclimate.config import compose as composition

    return composition.compose(overrides, *(None if place is None else Path(place) for place in (folder, config_dir)))


def train(config: Mapping[str, Any]) -> dict[str, Any]:
    """Train a run, select a checkpoint without target labels, and test it.

    The run's folder contains all that `acclimate train` writes, except `train.log` and `.hydra/`. To continue a run that is
    finished or was stopped, pass `config | {"resume": True}`.

    Args:
        config: A configuration from `compose`, possibly with changed values, also paths, tuples and scalars of NumPy.

    Returns:
        The contents of `metrics.json`: accuracies in [0, 1] by names such as `target/test_accuracy`, and facts about the
        training.

    Raises:
        UserError: If the configuration or the data are invalid, or training fails.
        Interrupted: If a signal, such as that of Ctrl-C, stopped the run.
    """
    from acclimate.config.check import check_before_imports, plain
    from acclimate.config.machine import refuse_missing_files
    from acclimate.errors import ConfigError

    config = plain(config)
    if not isinstance(config, dict):
        raise ConfigError("This is not a configuration. Pass one from acclimate.compose.")
    check_before_imports(config)
    refuse_missing_files(config)
    # Imported here, so that mistakes in the configuration are reported without waiting for torch.
    from acclimate.training import run

    return run.train(config)


def evaluate(
    run: str | PathLike[str],
    overrides: Sequence[str] = (),
    *,
    allow_seen: bool = False,
    trust: Collection[str] = (),
    config_dir: str | PathLike[str] | None = None,
    mistakes: str | PathLike[str] | None = None,
) -> dict[str, Any]:
    """Test the selected checkpoint of a run again, on the same or on other data.

    Args:
        run: The folder of a finished run, or a checkpoint.
        overrides: Overrides of `acclimate evaluate`, such as `["data.target=other.npz", "trainer=cpu"]`.
        allow_seen: Whether to allow test inputs that the run was trained or selected on; they are counted.
        trust: Your own modules, or full names of classes and functions, that the run may be built from; one or several.
        config_dir: A folder with your own configs, as for `--config-dir`.
        mistakes: A new folder for the misclassified and the most uncertain test inputs; None: do not keep them.

    Returns:
        Accuracies in [0, 1] by names such as `target/test_accuracy`, the value of the selection, and below `per_class` a row for
        each domain with labels and each of its classes, as in `per_class.csv`.

    Raises:
        UserError: If there is no such run, it contains targets that are not trusted, or the data do not fit its model.
    """
    from pathlib import Path

    from acclimate.runs.checkpoint_files import selected_checkpoint

    selected = selected_checkpoint(run)
    from acclimate.config.compose import override
    from acclimate.runs.checkpoints import read_checkpoint, trusted_config
    from acclimate.training import evaluation

    checkpoint = read_checkpoint(selected)
    trust = [trust] if isinstance(trust, str) else trust
    config = override(trusted_config(checkpoint, trust), overrides, None if config_dir is None else Path(config_dir))
    folder = None if mistakes is None else Path(mistakes)
    found = evaluation.evaluate_classes(config, checkpoint, allow_seen=allow_seen, trust=trust, mistakes=folder)
    return found.metrics | {"per_class": found.per_class}


def load(run: str | PathLike[str], *, trust: Collection[str] = (), device: str | None = None) -> "Predictor":
    """Load the selected model of a run for prediction, without Hydra or Lightning.

    Args:
        run: The folder of a finished run, or a checkpoint. It may come from somebody else: classes and functions are built
            only if they are part of this package or trusted.
        trust: Your own modules, or full names of classes and functions, that the model may be built from; one or several.
        device: The device to compute on, such as `cpu` or `cuda:1`; None: the first GPU, or the CPU if there is none.

    Returns:
        A model whose `predict` accepts paths, arrays and Pillow images; of vectors, also tables and data frames.

    Raises:
        ConfigError: If there is no such run, it has no trained head, its model is not trusted, or there is no such device.
    """
    from acclimate.runs.checkpoint_files import selected_checkpoint

    selected = selected_checkpoint(run)
    from acclimate.inference.predictor import Predictor
    from acclimate.runs.checkpoints import read_checkpoint

    return Predictor(read_checkpoint(selected), trust=[trust] if isinstance(trust, str) else trust, device=device)
