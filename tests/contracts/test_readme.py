"""The README is true: its commands run, its code works, its tables list what there is."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from acclimate import cli
from acclimate.config.groups import conf_dir, group_options

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


class Block(NamedTuple):
    language: str
    lines: list[str]


BLOCKS = [
    Block(language, body.splitlines()) for language, body in re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
]
COMMANDS = [line for block in BLOCKS if block.language == "bash" for line in block.lines]
FILES = [block for block in BLOCKS if block.language in ("python", "yaml")]
# What stands in capitals for something of the reader's.
PLACEHOLDER = re.compile(r"[A-Z][A-Z_]+(\.\w+)?")
SMALL = {
    "data=fonts_to_handwriting": ["data.num_source=100", "data.num_source_eval=20", "data.batch_size=16", "data.eval_batch_size=16"],
    "data=image_folder": ["data.batch_size=4", "data.num_workers=0", "data.image_size=32"],
    "model=resnet50": ["model.weights=null"],
    "experiment=mnist_to_mnist_m": ["trainer.max_steps=4", "trainer.val_check_interval=2"],
}
NOT_TRAINED = ("--help", "--cfg")


def make_images(folder: Path, *, num_images: int) -> None:
    folder.mkdir(parents=True)
    generator = np.random.default_rng([*"/".join(folder.parts[-2:]).encode()])
    for number in range(num_images):
        Image.fromarray(generator.integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(folder / f"{number}.png")


def make_archive(path: Path, *shape: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(shape[0])
    arrays = {f"x_{part}": generator.integers(0, 256, (40, *shape), dtype=np.uint8) for part in ("train", "test")}
    np.savez(path, **arrays, y_train=np.arange(40) % 10, y_test=np.arange(40) % 10)


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the placeholders stand for, and the README's own files."""
    monkeypatch.chdir(tmp_path)
    for name in ("cat", "dog"):
        make_images(tmp_path / "SOURCE_DIR" / name, num_images=8)
        make_images(tmp_path / "OTHER_DIR" / name, num_images=6)
    make_images(tmp_path / "TARGET_DIR", num_images=12)
    make_images(tmp_path / "IMAGES_DIR", num_images=3)
    make_archive(tmp_path / "SOURCE.npz", 28, 28)
    make_archive(tmp_path / "TARGET.npz", 32, 32, 3)
    make_archive(tmp_path / "ARCHIVES_DIR" / "mnist.npz", 28, 28)
    make_archive(tmp_path / "ARCHIVES_DIR" / "mnist_m.npz", 32, 32, 3)
    for block in FILES:
        path = tmp_path / block.lines[0].removeprefix("# ")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(block.lines))
    return tmp_path


@pytest.fixture
def acclimate(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], None]:
    """The command, in this process: importing torch anew for every line would take longer than all of them."""
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")

    def call(arguments: list[str]) -> None:
        monkeypatch.setattr(sys, "argv", ["acclimate", *arguments])
        cli.main()

    return call


def shrink(arguments: list[str], folder: Path) -> list[str]:
    """The same training in seconds, on a processor, with its results in a known folder."""
    kept = [text for text in arguments if not text.startswith(("trainer=", "trainer.max_epochs="))]
    kept = ["hydra.sweeper.n_trials=2" if text.startswith("hydra.sweeper.n_trials=") else text for text in kept]
    chosen = [*kept] if any(text.startswith(("data=", "experiment=")) for text in kept) else [*kept, "data=fonts_to_handwriting"]
    small = [override for name, overrides in SMALL.items() if name in chosen for override in overrides]
    has_folder = "-m" in kept or any(text.startswith("hydra.run.dir=") for text in kept)
    return [*kept, "trainer=smoke", *small, *([] if has_folder else [f"hydra.run.dir={folder}"])]


def fill(value: str, run: Path) -> str:
    """What a placeholder stands for."""
    if value == "RUN":
        return str(run)
    assert not PLACEHOLDER.fullmatch(value) or Path(value).exists(), f"the test knows nothing to put in the place of {value}"
    return value


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.language} {block.lines[0][:40]}")
def test_every_block_is_understood(block: Block) -> None:
    assert block.language in ("bash", "console", "python", "yaml")
    if block.language in ("python", "yaml"):
        assert re.fullmatch(r"# [\w/]+\.(py|yaml)", block.lines[0]), "its first line should name its file"
    if block.language == "console":
        assert block.lines[0].startswith("$ acclimate ")
    if block.language == "bash":
        for line in block.lines:
            assert re.match(r"([A-Z_]+=\S+ )*acclimate |make |source \.venv/bin/activate$", line), line


def test_acclimate_commands_run_in_order(
    workplace: Path, acclimate: Callable[[list[str]], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, runs = Path("none"), []
    for number, line in enumerate(COMMANDS):
        words = shlex.split(line)
        while re.match(r"[A-Z_]+=", words[0]):
            name, _, value = words.pop(0).partition("=")
            value = fill(value, run)
            if name == "PYTHONPATH":
                monkeypatch.syspath_prepend(value)
            else:
                monkeypatch.setenv(name, value)
        if words[0] != "acclimate":
            continue
        arguments = ["=".join(fill(part, run) for part in word.split("=")) for word in words[1:]]
        continues = any(text.startswith("resume=") for text in arguments)
        resumes = arguments[0] == "train" and continues
        trains = arguments[0] == "train" and not continues and not any(flag in arguments for flag in NOT_TRAINED)
        if trains or (arguments[0] == "chain" and not continues):
            arguments = shrink(arguments, workplace / "outputs" / str(number))
        if resumes:
            # As if it had been stopped before it could report.
            (run / "metrics.json").unlink()
        try:
            acclimate(arguments)
        except SystemExit as stop:
            pytest.fail(
                f"{line}\nbecame\nacclimate {' '.join(arguments)}\nand ended with exit code {stop.code}:\n{capsys.readouterr().err}"
            )
        if trains and "-m" not in arguments:
            run = workplace / "outputs" / str(number)
            runs.append(run)
        assert all((folder / "metrics.json").is_file() for folder in runs), line
    assert len(runs) > 5
    assert len(list(workplace.glob("outputs/sweeps/*/*/*/metrics.json"))) == 4 + 2 + 2
    assert "target/test_accuracy" in json.loads((workplace / "other.json").read_text())
    assert len((workplace / "predictions.csv").read_text().splitlines()) == 1 + 3


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "console"], ids=lambda block: block.lines[0])
def test_shown_output_is_what_the_command_prints(
    block: Block, workplace: Path, acclimate: Callable[[list[str]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        acclimate(shlex.split(block.lines[0].removeprefix("$ acclimate ")))
    assert stop.value.code == 2
    assert capsys.readouterr().err.splitlines() == block.lines[1:]
    assert not list(workplace.rglob("metrics.json"))


@pytest.mark.parametrize("line", [line for line in COMMANDS if line.startswith("make ")])
def test_make_commands_are_targets(line: str) -> None:
    done = subprocess.run([*shlex.split(line), "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if "ARGS=" in line:
        assert line.partition("ARGS=")[2].strip('"') in done.stdout


@pytest.mark.parametrize("path", re.findall(r"\]\(((?!http)[^)]+)\)", README))
def test_links_lead_somewhere(path: str) -> None:
    assert (ROOT / path).exists()


def test_the_table_of_groups_lists_every_config() -> None:
    """A new config belongs into the table."""
    rows = dict(re.findall(r"^\| `(\w+)` \| ((?:`\w+`(?:, )?)+) \|$", README, flags=re.MULTILINE))
    listed = {group: sorted(re.findall(r"`(\w+)`", names)) for group, names in rows.items()}
    assert listed == {folder.name: group_options(folder.name) for folder in conf_dir().iterdir() if folder.is_dir()}


def test_defaults_stand_first_in_the_table_of_groups() -> None:
    defaults = dict(re.findall(r"^  - (\w+): (\w+)$", (conf_dir() / "train.yaml").read_text(), flags=re.MULTILINE))
    for group, name in defaults.items():
        assert group == "experiment" or f"| `{group}` | `{name}`" in README
