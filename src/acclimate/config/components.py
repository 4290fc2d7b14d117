"""Validation of components, the parts of a configuration with a target, against the signatures of their targets."""

import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from acclimate.config.instantiate import RESERVED_KEYS, locate
from acclimate.config.messages import did_you_mean, elsewhere, listed, show
from acclimate.config.signatures import Signature, TargetError, made_by
from acclimate.config.suggestions import option_called, suggest_option
from acclimate.config.values import alternatives, find_problem

# Arguments that the run passes to a component in addition to its configuration.
PROVIDED = {
    "model": {"num_classes", "inputs"},
    "model.backbone": {"weights", "inputs"},
    "method": {"classifier", "optimizer", "schedule"},
    "method.terms": {"logits", "strong_logits", "progress", "classifier", "inputs"},
    "optimizer": {"params"},
    "scheduler": {"progress"},
    "trainer": {"callbacks", "logger", "use_distributed_sampler"},
}
# The class of each component; those that take the values of a step, such as a schedule, remain functions of them.
KINDS = {
    "data": "acclimate.data.datamodule.AdaptationData",
    "inputs": "acclimate.data.kind.Kind",
    "model": "acclimate.models.classifier.Classifier",
    "method": "acclimate.methods.base.Method",
    "method.extras": "acclimate.extras.extra.Extra",
    "selection": "acclimate.selection.checkpoint_selection.Selection",
    "callbacks": "pytorch_lightning.callbacks.Callback",
    "logger": "pytorch_lightning.loggers.Logger",
    "trainer": "pytorch_lightning.Trainer",
    "optimizer": "torch.optim.Optimizer",
    "scheduler": "builtins.float",
    "model.backbone": "acclimate.models.backbones.backbone.Backbone",
}
# Groups with several components, each with a name chosen by the user.
NAMED = ("callbacks", "logger", "method.extras")
FUNCTIONS = ("optimizer", "scheduler", "model.backbone")
# Additional keys of ours for classes of other packages.
ADDED = {
    "trainer": [
        inspect.Parameter("compile", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=bool),
        inspect.Parameter("on_nonfinite", inspect.Parameter.KEYWORD_ONLY, default="stop", annotation=Literal["stop", "skip"]),
    ]
}
# Functions whose parameters with a default are additional keys of a component, whatever its target.
OPTIONS = {"method": "acclimate.extras.options.make_extras"}
# Function from a `_target_` to its signature.
Read = Callable[[str], Signature]


def check_components(config: Mapping[str, Any], read: Read) -> Iterator[str]:
    """Yield the problems of all components that can be found with the signatures returned by `read`."""
    for path, node in _nodes(config):
        yield from _check_component(node, path, config, read)


def _nodes(value: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield all nodes with a target and their keys, each node before the nodes inside it."""
    if isinstance(value, Mapping):
        if "_target_" in value:
            yield path, value
        for key, item in value.items():
            yield from _nodes(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _nodes(item, f"{path}[{place}]")


def _check_component(node: Mapping[str, Any], path: str, config: Mapping[str, Any], read: Read) -> Iterator[str]:
    try:
        name, parameters, target = read(str(node["_target_"]))
    except TargetError as error:
        yield f"{path}._target_={node['_target_']} {error}."
        return
    yield from _check_kind(node, path, target)
    # A key that the target itself takes belongs to it, whatever is added to others.
    accepted = parameters | _added(path, read) | parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values())
    named = {name: p for name, p in accepted.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
    provided = PROVIDED.get("method.terms" if path.startswith("method.terms.") else path, set())
    for key, value in node.items():
        if key in RESERVED_KEYS:
            continue
        if key in provided:
            yield f"{path}.{key} cannot be set: other parts of the configuration provide it."
        elif key in named:
            yield from _check_value(f"{path}.{key}", value, named[key].annotation, read)
        elif not takes_any:
            settable = [name for name in named if name not in provided]
            other = (path in config and suggest_option(path, key, value, node)) or ""
            hint = (not other and did_you_mean(key, settable)) or (
                f" It takes {listed(settable)}.{other or elsewhere(f'{path}.{key}', value, config, similar=False)}"
            )
            yield f"{path}.{key}: {name} has no such key.{hint}"
    if not node.get("_partial_"):
        for key, parameter in named.items():
            if parameter.default is parameter.empty and key not in node and key not in provided:
                yield f"{path}.{key} is missing: {name} needs it."


def _added(path: str, read: Read) -> dict[str, inspect.Parameter]:
    """Return the parameters that a component has in addition to those of its target."""
    if path in OPTIONS:
        return {name: parameter for name, parameter in read(OPTIONS[path]).parameters.items() if parameter.default is not parameter.empty}
    return {parameter.name: parameter for parameter in ADDED.get(path, [])}


def _check_value(path: str, value: Any, hint: Any, read: Read) -> Iterator[str]:
    """Compare a value with an annotation, or the class of a component with the class that the annotation asks for."""
    if not (isinstance(value, Mapping) and "_target_" in value):
        if problem := find_problem(path, value, hint):
            group = path.partition(".")[0]
            yield problem + (f" Did you mean {group}={value}?" if option_called(value) == f"{group}={value}" else "")
        return
    # No part is a literal, such as the name of a view in the place of a transform.
    wanted = [member for member in alternatives(hint) if member is not type(None) and typing.get_origin(member) is not Literal]
    try:
        target = read(str(value["_target_"])).target
    except TargetError:
        # The component itself is reported.
        return
    if not wanted or not all(map(inspect.isclass, wanted)):
        return
    if value.get("_partial_"):
        yield f"{path} is built at once. Leave {path}._partial_ out."
    elif inspect.isclass(target) and not issubclass(target, tuple(wanted)):
        yield f"{path}._target_={value['_target_']} is not of the class {' or '.join(one.__name__ for one in wanted)}, as {path} must be."


def _check_kind(node: Mapping[str, Any], path: str, target: Callable[..., Any] | None) -> Iterator[str]:
    """Check that a target has the class that its place in the configuration requires."""
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
            yield f"{path}._target_={node['_target_']} is not of the class {kind.rpartition('.')[2]}, as {path} must be."


def _check_term(path: str, target: Callable[..., Any], *, partial: bool) -> Iterator[str]:
    """Look whether a target makes a loss of predictions: a function that returns a tensor, or an object that is called like one."""
    if inspect.isclass(target):
        if not any("__call__" in vars(ancestor) for ancestor in target.__mro__):
            yield f"{path}._target_ names {target.__name__}, which is not a loss. Name a function of logits, or a module."
        elif partial:
            yield f"{path} is built at once. Leave {path}._partial_ out."
        return
    made = made_by(target)
    if inspect.isclass(made) and not issubclass(made, locate("torch.Tensor")):  # type: ignore[arg-type]
        yield f"{path}._target_ names {getattr(target, '__name__', target)}, which returns no tensor. Name a loss of logits."
    elif not partial:
        yield f"{path} is called later, with values that the run provides. Type {path}._partial_=true."
