"""The parts of a configuration, each compared with the signature of what it names."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from acclimate.config.foreign import limits
from acclimate.config.groups import did_you_mean, most_similar
from acclimate.config.messages import describe_mismatch, describe_out_of_range, show
from acclimate.config.signatures import Signature, TargetError, alternatives, is_in_range, locate, made_by, matches

# What `run` hands to a component besides its configuration.
PROVIDED = {
    "model": {"num_classes"},
    "model.backbone": {"weights"},
    "method": {"classifier", "optimizer", "schedule"},
    "method.terms": {"logits", "strong_logits", "progress", "classifier", "inputs"},
    "optimizer": {"params"},
    "scheduler": {"progress"},
    "trainer": {"callbacks", "logger", "use_distributed_sampler"},
}
# What is built of each part; what takes a step's values, such as a schedule, is left as a function of them.
KINDS = {
    "data": "acclimate.data.datamodule.AdaptationData",
    "model": "acclimate.models.classifier.Classifier",
    "method": "acclimate.methods.base.Method",
    "method.extras": "acclimate.extras.extra.Extra",
    "selection": "acclimate.selection.checkpoint_selection.Selection",
    "callbacks": "pytorch_lightning.callbacks.Callback",
    "logger": "pytorch_lightning.loggers.Logger",
    "trainer": "pytorch_lightning.Trainer",
    "optimizer": "torch.optim.Optimizer",
    "scheduler": "builtins.float",
    "model.backbone": "acclimate.models.backbones.Backbone",
}
# Parts of which there are several, each by a name of the user's.
NAMED = ("callbacks", "method.extras")
FUNCTIONS = ("optimizer", "scheduler", "model.backbone")
# Keys of ours beside those of a class that is not ours.
ADDED = {
    "trainer": [
        inspect.Parameter("compile", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=bool),
        inspect.Parameter("on_nonfinite", inspect.Parameter.KEYWORD_ONLY, default="stop", annotation=Literal["stop", "skip"]),
    ]
}
# Functions of ours that make options of a part, whatever it is, from further keys: their parameters with a default.
OPTIONS = {"method": "acclimate.extras.options.make_extras"}
RESERVED_KEYS = {"_target_", "_partial_", "_args_", "_convert_", "_recursive_"}
# From a `_target_` to its signature.
Read = Callable[[str], Signature]


def check_node(node: Any, path: str, config: Mapping[str, Any], read: Read) -> Iterator[str]:
    """Find what is wrong with the parts below a node, as far as the signatures tell that `read` reads."""
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield from _check_target(node, path, config, read)
        for key, value in node.items():
            yield from check_node(value, f"{path}.{key}" if path else str(key), config, read)
    elif isinstance(node, list):
        for place, value in enumerate(node):
            yield from check_node(value, f"{path}[{place}]", config, read)


def _check_target(node: Mapping[str, Any], path: str, config: Mapping[str, Any], read: Read) -> Iterator[str]:
    try:
        name, parameters, target = read(str(node["_target_"]))
    except TargetError as error:
        yield f"{path}._target_={node['_target_']} {error}."
        return
    yield from _check_kind(node, path, target)
    added = {parameter.name: parameter for parameter in ADDED.get(path, [])}
    if path in OPTIONS:
        added = {name: parameter for name, parameter in read(OPTIONS[path]).parameters.items() if parameter.default is not parameter.empty}
    # A key that the target itself takes belongs to it, whatever is added to others.
    accepted = parameters | {name: parameter for name, parameter in added.items() if name not in parameters}
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values())
    named = {name: p for name, p in accepted.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    hints = {name: parameter.annotation for name, parameter in accepted.items()} | limits(str(node["_target_"]))
    provided = PROVIDED.get("method.terms" if path.startswith("method.terms.") else path, set())
    for key, value in node.items():
        if key in RESERVED_KEYS:
            continue
        if key in provided:
            yield f"{path}.{key} is not to be set: the other parts of the configuration provide it."
        elif key not in named:
            if not takes_any:
                settable = [name for name in named if name not in provided]
                hint = (
                    did_you_mean(key, settable)
                    or f" It takes {', '.join(settable) or 'none'}.{elsewhere(f'{path}.{key}', value, config, similar=False)}"
                )
                yield f"{path}.{key}: {name} has no such key.{hint}"
        elif isinstance(value, Mapping) and "_target_" in value:
            yield from _check_product(f"{path}.{key}", value, hints.get(key, Any), read)
        else:
            yield from _check_value(f"{path}.{key}", value, hints.get(key, Any))
    if not node.get("_partial_"):
        for key, parameter in named.items():
            if parameter.default is parameter.empty and key not in node and key not in provided:
                yield f"{path}.{key} is missing: {name} needs it."


def _check_value(path: str, value: Any, hint: Any) -> Iterator[str]:
    if not matches(value, hint):
        yield describe_mismatch(path, value, hint)
    elif not is_in_range(value, hint):
        yield describe_out_of_range(path, value, hint)


def _check_product(path: str, node: Mapping[str, Any], hint: Any, read: Read) -> Iterator[str]:
    """Looks whether a node within a part makes what the part's annotation asks for, where that is a class."""
    wanted = [member for member in alternatives(hint) if member is not type(None)]
    try:
        target = read(str(node["_target_"])).target
    except TargetError:
        # The node itself is told of.
        return
    if inspect.isclass(target) and all(map(inspect.isclass, wanted)) and not issubclass(target, tuple(wanted)):
        yield f"{path}._target_={node['_target_']} is no {' or '.join(one.__name__ for one in wanted)}, which {path} must be."


def _check_kind(node: Mapping[str, Any], path: str, target: Callable[..., Any] | None) -> Iterator[str]:
    """Looks whether a target makes what its place in the configuration is for."""
    partial = node.get("_partial_", False)
    holder = path.rpartition(".")[0]
    kind = KINDS.get(holder if holder in NAMED else path)
    if not isinstance(partial, bool):
        yield f"{path}._partial_={show(partial)} must be true or false."
    elif path in FUNCTIONS and not partial:
        yield f"{path} is called later, with values that the run provides. Type {path}._partial_=true."
    elif kind and partial and path not in FUNCTIONS:
        yield f"{path} is built at once. Leave {path}._partial_ out."
    elif path.startswith("method.terms.") and target is not None:
        yield from _check_term(path, target, partial=partial)
    elif kind and target is not None:
        made = made_by(target)
        if inspect.isclass(made) and not issubclass(made, locate(kind)):  # type: ignore[arg-type]
            yield f"{path}._target_={node['_target_']} is no {kind.rpartition('.')[2]}, which {path} must be."


def _check_term(path: str, target: Callable[..., Any], *, partial: bool) -> Iterator[str]:
    """Look whether a target makes a loss of predictions: a function that returns a tensor, or an object that is called like one."""
    if inspect.isclass(target):
        if not any("__call__" in vars(ancestor) for ancestor in target.__mro__):
            yield f"{path}._target_ names {target.__name__}, which is no loss. Name a function of logits, or a module."
        elif partial:
            yield f"{path} is built at once. Leave {path}._partial_ out."
        return
    made = made_by(target)
    if inspect.isclass(made) and not issubclass(made, locate("torch.Tensor")):  # type: ignore[arg-type]
        yield f"{path}._target_ names {getattr(target, '__name__', target)}, which returns no tensor. Name a loss of logits."
    elif not partial:
        yield f"{path} is called later, with values that the run provides. Type {path}._partial_=true."


def elsewhere(path: str, value: Any, config: Mapping[str, Any], *, similar: bool = True) -> str:
    """A question that names the key of a part that was probably meant, with the value: lr=0.1 is optimizer.lr=0.1.

    Args:
        path: A key without its part, or of another one.
        value: Its value; a number is not meant for a key that holds text.
        config: Whose keys there are.
        similar: Whether a similar name does, too.
    """
    others = ((other, found) for other, found in _leaves(config) if other != path)
    leaves = ((other, found) for other, found in others if found is None or isinstance(found, str) == isinstance(value, str))
    keys = {other: other.rpartition(".")[2] for other, _ in leaves}
    name = path.rpartition(".")[2]
    wanted = most_similar(name, list(keys.values())) if similar else name
    return next((f" Did you mean {other}={show(value)}?" for other, key in keys.items() if key == wanted), "")


def _leaves(node: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """The keys of a part as one types them, without those at the top."""
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{path}{key}.")
        elif path and key not in RESERVED_KEYS:
            yield f"{path}{key}", value
