"""Imports between the rooms of the package, which must never run back up."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "acclimate"
DOCS = Path(__file__).parents[1] / "docs"
# From the ground up: a room imports rooms before its own line alone. Those on one line do not know each other.
FLOORS = (
    {"errors", "ranges", "seeds"},
    {"inputs"},
    {"types"},
    {"schedules", "files", "memory"},
    {"config", "figures", "losses", "models"},
    {"scores", "extras"},
    {"data", "methods", "runs"},
    {"selection"},
    {"diagnostics", "inference"},
    {"training", "reports"},
    {"cli"},
)
LIBRARIES = {"torch", "torchvision", "timm", "numpy", "ot", "sklearn", "torchmetrics", "pytorch_lightning", "lightning_fabric"}
HYDRA = {"hydra", "omegaconf"}
LIGHTNING = {"pytorch_lightning", "lightning_fabric"}
# What no file of a room may import, be it at the top or within a function.
FORBIDDEN = {
    "losses": (LIBRARIES | HYDRA) - {"torch"},
    "models": LIGHTNING,
    "scores": LIGHTNING,
    "inference": LIGHTNING,
}
# Names in the pages for developers that are not those of the code.
NAMES_OF_OTHERS = {"PYTHONPATH", "OF_PICTURES"}
TAKES_HYDRA = ("config", "cli")


def names_in(tree: ast.AST) -> Iterator[str]:
    """All modules that are imported, at the top or within a function, with what is taken out of them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where a name is from"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_name(file: Path) -> str:
    parts = ("acclimate", *file.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


IMPORTS = {module_name(file): set(names_in(ast.parse(file.read_text()))) for file in sorted(PACKAGE.rglob("*.py"))}


def own_modules(module: str) -> set[str]:
    """The modules of the package that one imports."""
    found = set()
    for name in IMPORTS[module]:
        owner = name if name in IMPORTS else name.rpartition(".")[0]
        if owner in IMPORTS and owner != "acclimate":
            found.add(owner)
    return found - {module}


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def test_each_room_has_a_floor_and_each_floor_its_rooms():
    assert {room_of(module) for module in IMPORTS} - {"acclimate"} == set().union(*FLOORS)


def test_no_import_runs_back_up():
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    wrong = [
        f"{module} imports {other}"
        for module in IMPORTS
        if module != "acclimate"
        for other in own_modules(module)
        if room_of(other) != room_of(module) and floor[room_of(other)] >= floor[room_of(module)]
    ]
    assert wrong == []


def test_no_modules_import_each_other():
    waiting = {module: own_modules(module) for module in IMPORTS}
    while free := [module for module, others in waiting.items() if not others & waiting.keys()]:
        for module in free:
            del waiting[module]
    assert waiting == {}


@pytest.mark.parametrize("room", FORBIDDEN)
def test_room_does_without_the_libraries_above_it(room):
    names = {name for module in IMPORTS if room_of(module) == room for name in IMPORTS[module]}
    assert sorted(name for name in names if name.split(".")[0] in FORBIDDEN[room]) == []


def test_hydra_is_in_sight_of_the_configuration_and_the_command_alone():
    rooms = {room_of(module) for module, names in IMPORTS.items() if HYDRA & {name.split(".")[0] for name in names}}
    assert rooms <= set(TAKES_HYDRA)


def test_a_method_knows_no_other_method_but_the_base():
    rooms = ("acclimate.methods.core", "acclimate.methods.parts")
    methods = [module for module in IMPORTS if module.startswith("acclimate.methods.") and not module.startswith(rooms)]
    assert len(methods) > 25
    shared = {"acclimate.methods.base", "acclimate.methods.alternation"}
    wrong = [f"{module} imports {other}" for module in methods for other in own_modules(module) & (set(methods) - shared)]
    assert wrong == []


def test_what_the_rules_name_is_what_the_code_calls_it():
    libraries = {name.split(".")[0] for names in IMPORTS.values() for name in names} - set(sys.stdlib_module_names)
    assert libraries >= LIBRARIES | HYDRA


def test_the_description_of_the_architecture_names_each_room_on_its_floor():
    text = (DOCS / "architecture.md").read_text()
    floor, level = {}, 0
    for number, names in re.findall(r"^\| *(\d*) *\| ([^|]+) \|", text, flags=re.MULTILINE):
        level = int(number) if number else level
        floor |= {name.removesuffix("/").removesuffix(".py"): level for name in re.findall(r"`([^`]+)`", names)}
    lowest = min(floor.values())
    assert {frozenset(name for name in floor if floor[name] == level) for level in floor.values()} == set(map(frozenset, FLOORS))
    assert all(room in FLOORS[level - lowest] for room, level in floor.items())


@pytest.mark.parametrize(("page", "at_least"), [("architecture.md", 90), ("extending.md", 3)])
def test_files_and_folders_that_the_pages_for_developers_name_exist(page, at_least):
    named = re.findall(r"`((?:\w+/)*\w+(?:/|\.py|\.yaml|\.md|\.toml))`", (DOCS / page).read_text())
    places = (PACKAGE, PACKAGE / "data", PACKAGE / "methods", PACKAGE.parents[1])
    assert len(named) >= at_least
    assert [name for name in named if not any((place / name).exists() for place in places)] == []


@pytest.mark.parametrize(("page", "at_least"), [("architecture.md", 20), ("extending.md", 10)])
def test_names_that_the_pages_for_developers_use_are_those_of_the_code(page, at_least):
    """Names with a capital or an underscore; others are also words."""
    text = re.sub(r"^```.*?^```$", "", (DOCS / page).read_text(), flags=re.MULTILINE | re.DOTALL)
    named = {name for name in re.findall(r"`(?:acclimate\.(?:\w+\.)*)?(\w+)`", text) if re.search(r"[A-Z_]", name)} - NAMES_OF_OTHERS
    assert len(named) >= at_least
    words = {word for file in PACKAGE.rglob("*.py") for word in re.findall(r"\w+", file.read_text())}
    assert named - words == set()
