"""Installation from a wheel, and from the pinned versions."""

import itertools
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = [Requirement(line) for line in (ROOT / "requirements.txt").read_text().splitlines() if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="the wheel is built without a download")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_all_code_and_configs_and_nothing_else(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    code = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src").rglob("*.py")}
    configs = {f"acclimate/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "conf").rglob("*.yaml")}
    assert "acclimate/conf/train.yaml" in configs
    pages = {f"acclimate/reports/html/report.{ending}" for ending in ("html", "css", "js")}
    assert names - {"acclimate/py.typed"} == code | configs | pages


def test_the_wheel_brings_the_licence_and_the_command(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    texts = {name.partition(".dist-info/")[2]: archive.read(name).decode() for name in archive.namelist() if ".dist-info/" in name}
    assert "Apache License" in texts["licenses/LICENSE"]
    assert "acclimate = acclimate.cli:main" in texts["entry_points.txt"]


def test_the_wheel_composes_its_own_configs_far_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    installed, empty = tmp_path / "installed", tmp_path / "empty"
    zipfile.ZipFile(wheel).extractall(installed)
    # Whoever looks into the checkout's conf/ does not find this one.
    (installed / "acclimate" / "conf" / "method" / "only_here.yaml").write_text("defaults: [dann]\nsteepness: 7.0\n")
    empty.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", "from acclimate.cli import main; main()", "train", "method=only_here", "--cfg", "job"],
        cwd=empty,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "steepness: 7.0" in done.stdout
    assert not list(empty.iterdir())


def test_every_pin_is_one_version_and_names_no_place_to_get_it() -> None:
    for pin in PINS:
        assert re.fullmatch(r"==[\w.]+", str(pin.specifier)), pin
        assert pin.url is None
        assert pin.marker is None


def test_pins_are_what_the_project_asks_for() -> None:
    extras = itertools.chain(*PROJECT["optional-dependencies"].values())
    asked = [Requirement(text) for text in (*PROJECT["dependencies"], *extras)]
    pinned = {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in PINS}
    for requirement in asked:
        name = canonicalize_name(requirement.name)
        assert name in pinned, f"requirements.txt does not pin {name}"
        assert requirement.specifier.contains(pinned[name]), f"{requirement} does not allow the pinned {pinned[name]}"
