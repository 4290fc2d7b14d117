"""Signatures of targets read from source code, because importing torch and Lightning takes seconds."""

import ast
import builtins
import importlib
import importlib.util
import inspect
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from acclimate.config.foreign import limits
from acclimate.config.signatures import Signature, merge_keywords

# Packages whose source code can be relied on. Modules of the user may modify their classes at run time.
PACKAGES = ("acclimate", "pytorch_lightning", "lightning_fabric", "torch")
# Modules for annotations that are quick to import.
IMPORTED = ("typing", "typing_extensions", "collections.abc", "datetime", "os", "pathlib", "annotated_types", "acclimate.ranges")


class UnknownSourceError(Exception):
    """A signature that can only be found by importing the module."""


class Module(NamedTuple):
    """The source code of a module.

    Attributes:
        name: Name of the module.
        is_package: True for the `__init__.py` of a package.
        statements: Top-level statements, by the names that they define.
    """

    name: str
    is_package: bool
    statements: dict[str, ast.stmt]


class Definition(NamedTuple):
    """A statement that defines a name, and its module."""

    module: Module
    statement: ast.stmt


@cache
def read_signature(target: str) -> Signature:
    """Read a signature, with the same result as `signature_of`, from source code.

    Types in annotations that take long to import are replaced by empty classes of the same name, since no value of a
    configuration is an instance of them.

    Args:
        target: The full name of a class or a function.

    Raises:
        UnknownSourceError: If it is not in one of `PACKAGES`, or is defined in an unusual way.
    """
    module, _, name = target.rpartition(".")
    found = _find(module, name)
    if found is not None and isinstance(found.statement, ast.FunctionDef):
        parameters = {parameter.name: parameter for parameter in _parameters(found)}
    elif found is not None and isinstance(found.statement, ast.ClassDef):
        parameters = merge_keywords(_builders(found))
    else:
        raise UnknownSourceError(target)
    limited = limits(target)
    return Signature(name, {key: one.replace(annotation=limited.get(key, one.annotation)) for key, one in parameters.items()}, None)


def _builders(found: Definition) -> Iterator[tuple[bool, list[inspect.Parameter]]]:
    """Yield the constructors' parameters of a class and its base classes, and whether each class belongs to this package."""
    # A base class that several classes share comes behind all of them, as in Python's own order.
    ordered = {(one.module.name, _name_of(one.statement)): one for one in reversed(list(_ancestry(found)))}
    for definition in reversed(ordered.values()):
        if not isinstance(definition.statement, ast.ClassDef):
            raise UnknownSourceError(ast.unparse(definition.statement))
        for statement in definition.statement.body:
            if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
                yield _is_ours(definition), _parameters(Definition(definition.module, statement))[1:]


def _name_of(statement: ast.stmt) -> str:
    return statement.name if isinstance(statement, ast.ClassDef) else ast.unparse(statement)


def _is_ours(definition: Definition) -> bool:
    return definition.module.name.startswith("acclimate.")


def _ancestry(found: Definition) -> Iterator[Definition]:
    """Yield a class and, depth first, its base classes up to the first of another package; of an unknown one its name."""
    yield found
    if not isinstance(found.statement, ast.ClassDef) or not _is_ours(found):
        return
    for base in found.statement.bases:
        # ABC has no constructor.
        if not (isinstance(base, ast.Name) and base.id == "ABC"):
            yield from _ancestry(_find_expression(found.module, base) or Definition(found.module, ast.Expr(base)))


def _find_expression(module: Module, expression: ast.expr) -> Definition | None:
    """Find the definition that an expression such as `Method` or `pl.LightningModule` names."""
    if isinstance(expression, ast.Name):
        return _find(module.name, expression.id)
    if isinstance(expression, ast.Attribute) and isinstance(expression.value, ast.Name):
        statement = module.statements.get(expression.value.id)
        if isinstance(statement, ast.Import):
            package = next(alias.name for alias in statement.names if (alias.asname or alias.name) == expression.value.id)
            return _find(package, expression.attr)
        if isinstance(statement, ast.ImportFrom):
            return _find(f"{_source_of(module, statement)}.{expression.value.id}", expression.attr)
    return None


def _find(module_name: str, name: str) -> Definition | None:
    """Find the definition of a name, following imports."""
    module = _read_module(module_name)
    statement = module.statements.get(name) if module else None
    if module is None or statement is None:
        return None
    if isinstance(statement, ast.ImportFrom):
        return _find(_source_of(module, statement), _imported_name(statement, name))
    return Definition(module, statement)


def _source_of(module: Module, statement: ast.ImportFrom) -> str:
    """Return the module from which a statement imports."""
    if not statement.level:
        return statement.module or ""
    package = module.name.split(".")[: None if module.is_package and statement.level == 1 else module.is_package - statement.level]
    return ".".join([*package, *([statement.module] if statement.module else [])])


def _imported_name(statement: ast.ImportFrom, name: str) -> str:
    return next(alias.name for alias in statement.names if (alias.asname or alias.name) == name)


@cache
def _read_module(name: str) -> Module | None:
    package, *inner = name.split(".")
    # Looking up the specification of a module inside a package would import the package.
    specification = importlib.util.find_spec(package) if package in PACKAGES else None
    if specification is None or specification.origin is None:
        return None
    path = Path(specification.origin).parent.joinpath(*inner)
    is_package = path.is_dir()
    try:
        source = (path / "__init__.py" if is_package else path.with_suffix(".py")).read_text(encoding="utf-8")
    except OSError:
        return None
    return Module(name, is_package, dict(_named(ast.parse(source).body)))


def _named(statements: Sequence[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    for statement in statements:
        match statement:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                yield name, statement
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                for alias in aliases:
                    yield alias.asname or alias.name, statement
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                yield name, statement


def _parameters(found: Definition) -> list[inspect.Parameter]:
    """Return the parameters of a function, with evaluated annotations."""
    assert isinstance(found.statement, ast.FunctionDef)
    given = found.statement.args
    positional = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(positional) - len(given.defaults)) + given.defaults
    kinds = inspect.Parameter
    listed = [
        *((one, kinds.POSITIONAL_OR_KEYWORD, default) for one, default in zip(positional, defaults, strict=True)),
        *([(given.vararg, kinds.VAR_POSITIONAL, None)] if given.vararg else []),
        *((one, kinds.KEYWORD_ONLY, default) for one, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)),
        *([(given.kwarg, kinds.VAR_KEYWORD, None)] if given.kwarg else []),
    ]
    return [
        kinds(one.arg, kind, default=kinds.empty if default is None else ..., annotation=_annotation(found.module, one.annotation))
        for one, kind, default in listed
    ]


def _annotation(module: Module, expression: ast.expr | None) -> Any:
    if expression is None:
        return Any
    try:
        hint = _evaluate(module, expression)
        return type(None) if hint is None else hint
    except Exception:
        # As for annotations that cannot be resolved: any value is possible.
        return Any


def _evaluate(module: Module, expression: ast.expr) -> Any:
    code = compile(ast.Expression(expression), module.name, "eval")
    return eval(code, {"__builtins__": {}}, _Names(module))


class _Names(dict[str, Any]):
    """Values of the names in the annotations of a module."""

    def __init__(self, module: Module) -> None:
        super().__init__()
        self.module = module

    def __missing__(self, name: str) -> Any:
        statement = self.module.statements.get(name)
        match statement:
            case ast.ImportFrom():
                source, imported = _source_of(self.module, statement), _imported_name(statement, name)
                if source in IMPORTED:
                    return getattr(importlib.import_module(source), imported)
                # In other packages, only names such as _PATH are type aliases; classes need not be searched in large files.
                may_be_alias = source.startswith("acclimate.") or (imported.startswith("_") and not source.startswith("torch"))
                module = _read_module(source) if may_be_alias else None
                return _Names(module)[imported] if module and imported in module.statements else _Unimported(name, (), {})
            case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value):
                return _evaluate(self.module, value)
            case None:
                return getattr(builtins, name)
            case _:
                return _Unimported(name, (), {})


class _Unimported(type):
    """Metaclass of placeholders for classes and modules that take long to import."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return _Unimported(name, (), {})
