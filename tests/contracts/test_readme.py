"""The README and docs/ are true: commands run, code works, links lead somewhere, tables list what there is."""

import json
import math
import re
import runpy
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
from acclimate.config.groups import conf_dir, config_groups, group_options

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


class Block(NamedTuple):
    page: Path
    language: str
    lines: list[str]


def label(value: object) -> str | None:
    """The name of a test's parameter: the page and, of a block, its first line."""
    if isinstance(value, Block):
        return f"{value.page.name} {value.language} {value.lines[0][:40]}"
    return value.name if isinstance(value, Path) else None


BLOCKS = [
    Block(page, language, body.splitlines())
    for page in PAGES
    for language, body in re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), flags=re.MULTILINE | re.DOTALL)
]
COMMANDS = {page: [line for block in BLOCKS if block.page == page and block.language == "bash" for line in block.lines] for page in PAGES}
# In the text and in tables as well.
MAKE_COMMANDS = sorted(
    {command for page in PAGES for command in re.findall(r"^make .+|(?<=`)make [^`]+(?=`)", page.read_text(), re.MULTILINE)}
)
RUNNING = (ROOT / "docs" / "running.md").read_text()
# What stands in capitals for something of the reader's.
PLACEHOLDER = re.compile(r"[A-Z][A-Z_]+(\.\w+)?")
SMALL = {
    "data=fonts_to_handwriting": ["data.num_source=100", "data.num_source_eval=20", "data.batch_size=16", "data.eval_batch_size=16"],
    "data=image_folder": ["data.batch_size=4", "data.num_workers=0", "data.image_size=32"],
    "data=table": ["data.batch_size=4", "data.num_workers=0", "data.image_size=32"],
    "data=vectors": ["data.batch_size=8"],
    "model=resnet50": ["model.weights=null"],
    "experiment=own_images": [
        "data.batch_size=4",
        "data.num_workers=0",
        "data.image_size=32",
        "trainer.max_steps=4",
        "trainer.val_check_interval=2",
    ],
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
    """A folder with what the placeholders stand for."""
    monkeypatch.chdir(tmp_path)
    for name in ("cat", "dog"):
        make_images(tmp_path / "SOURCE_DIR" / name, num_images=8)
        make_images(tmp_path / "OTHER_DIR" / name, num_images=6)
    make_images(tmp_path / "TARGET_DIR", num_images=12)
    make_images(tmp_path / "IMAGES_DIR", num_images=3)
    for table, root in (("SOURCE.csv", "SOURCE_DIR"), ("TARGET.csv", "OTHER_DIR")):
        rows = [f"{path.relative_to(tmp_path)},{path.parent.name}" for path in sorted((tmp_path / root).rglob("*.png"))]
        (tmp_path / table).write_text("\n".join(["path,label", *rows]))
    for number, table in enumerate(("ROWS.csv", "OTHER_ROWS.csv")):
        numbers = np.random.default_rng(number).normal(size=(60, 2)).tolist()
        rows = [f"{a},{b},{('cat', 'dog')[row % 2]}" for row, (a, b) in enumerate(numbers)]
        (tmp_path / table).write_text("\n".join(["a,b,label", *rows]))
    for table, beginning in (("SOURCE_TEXTS.csv", "This is"), ("TARGET_TEXTS.csv", "Here we see")):
        rows = [f"{beginning} {word} {number},{word}" for number in range(12) for word in ("cat", "dog")]
        (tmp_path / table).write_text("\n".join(["text,label", *rows]))
    make_archive(tmp_path / "SOURCE.npz", 28, 28)
    make_archive(tmp_path / "TARGET.npz", 32, 32, 3)
    make_archive(tmp_path / "ARCHIVES_DIR" / "mnist.npz", 28, 28)
    make_archive(tmp_path / "ARCHIVES_DIR" / "mnist_m.npz", 32, 32, 3)
    return tmp_path


def write_files(page: Path, folder: Path) -> None:
    """Keep the code that a page shows in the files that it names."""
    for block in BLOCKS:
        if block.page == page and block.language in ("python", "yaml"):
            path = folder / block.lines[0].removeprefix("# ")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(block.lines))


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


def num_jobs(arguments: list[str]) -> int:
    """Return the number of runs of a sweep: those of `shrink` for a search, else every combination."""
    if any(text.startswith("hydra/sweeper=") for text in arguments):
        return 2
    return math.prod(text.count(",") + 1 for text in arguments)


def fill(value: str, run: Path) -> str:
    """Return the value of a placeholder."""
    if value == "RUN":
        return str(run)
    assert not PLACEHOLDER.fullmatch(value) or Path(value).exists(), f"the test knows nothing to put in the place of {value}"
    return value


@pytest.mark.parametrize("block", BLOCKS, ids=label)
def test_every_block_is_understood(block: Block) -> None:
    assert block.language in ("bash", "console", "python", "yaml")
    if block.language in ("python", "yaml"):
        assert re.fullmatch(r"# [\w/]+\.(py|yaml)", block.lines[0]), "its first line should name its file"
    if block.language == "console":
        assert block.lines[0].startswith("$ acclimate ")
    if block.language == "bash":
        for line in block.lines:
            assert re.match(r"([A-Z_]+=\S+ )*acclimate |make |source \.venv/bin/activate$", line), line


@pytest.mark.parametrize("page", [page for page in PAGES if any("acclimate " in line for line in COMMANDS[page])], ids=label)
def test_acclimate_commands_run_in_order(
    page: Path,
    workplace: Path,
    acclimate: Callable[[list[str]], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_files(page, workplace)
    run, runs, swept = Path("none"), [], 0
    for number, line in enumerate(COMMANDS[page]):
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
            if page.name != "README.md" and trains:
                # Which take as long as the rest of such a small run.
                arguments.append("callbacks.pictures=null")
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
        elif trains:
            swept += num_jobs(arguments)
        assert all((folder / "metrics.json").is_file() for folder in runs), line
    assert runs
    assert len(list(workplace.glob("outputs/sweeps/*/*/metrics.json"))) == swept
    if (workplace / "other.json").exists():
        assert "target/test_accuracy" in json.loads((workplace / "other.json").read_text())
    if (workplace / "predictions.csv").exists():
        assert len((workplace / "predictions.csv").read_text().splitlines()) == 1 + 3


def test_runs_in_python_as_shown(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_files(ROOT / "docs" / "running.md", workplace)
    runpy.run_path("in_python.py")
    assert "torch.Size([1, 10])" in capsys.readouterr().out


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "console"], ids=label)
def test_shown_output_is_what_the_command_prints(
    block: Block, workplace: Path, acclimate: Callable[[list[str]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        acclimate(shlex.split(block.lines[0].removeprefix("$ acclimate ")))
    assert stop.value.code == 2
    assert capsys.readouterr().err.splitlines() == block.lines[1:]
    assert not list(workplace.rglob("metrics.json"))


@pytest.mark.parametrize("line", MAKE_COMMANDS)
def test_make_commands_are_targets(line: str) -> None:
    done = subprocess.run([*shlex.split(line), "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if "ARGS=" in line:
        assert line.partition("ARGS=")[2].strip('"') in done.stdout


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as named by GitHub."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(((?!http)[^)]+)\)", page.read_text()):
        path, _, anchor = link.partition("#")
        linked = page.parent / path if path else page
        assert linked.exists(), link
        assert not anchor or anchor in anchors(linked), link


def test_the_readme_is_short_and_links_to_every_page() -> None:
    readme = PAGES[0].read_text()
    assert len(readme.encode()) <= 12 * 1024
    assert set(re.findall(r"\]\((docs/\w+\.md)\)", readme)) == {f"docs/{page.name}" for page in PAGES[1:]}


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_a_page_has_one_title_and_says_what_it_is_about(page: Path) -> None:
    """Each page can be read alone."""
    title, blank, opening = page.read_text().splitlines()[:3]
    assert title.startswith("# ")
    assert not blank
    assert re.match(r"[A-Z]\w+ ", opening), opening
    assert len(re.findall(r"^# ", re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL), flags=re.MULTILINE)) == 1


def test_one_method_is_recommended() -> None:
    """Commands that adapt a user's own images name the same method, unless they compare or explain another."""
    recipe = "acclimate train experiment=own_images data.source=SOURCE_DIR data.target=TARGET_DIR"
    for page in ("README.md", "data.md", "methods.md", "running.md"):
        assert recipe in next(lines for path, lines in COMMANDS.items() if path.name == page)
    assert "| unlabelled images from another environment | `method=dann_mcc_fixmatch` |" in PAGES[0].read_text()


def test_the_table_of_groups_lists_every_config() -> None:
    """A new config belongs into the table."""
    rows = dict(re.findall(r"^\| `(\w+)` \| ((?:`\w+`(?:, )?)+) \|$", RUNNING, flags=re.MULTILINE))
    listed = {group: sorted(re.findall(r"`(\w+)`", names)) for group, names in rows.items()}
    assert listed == {name: group_options(name) for name in config_groups()}


@pytest.mark.parametrize(
    ("page", "group", "not_there"), [("methods", "method", set()), ("selection", "selection", {"auto", "last", "oracle"})]
)
def test_each_method_and_each_score_has_its_row(page: str, group: str, not_there: set[str]) -> None:
    """What `auto`, `last` and `oracle` select is text beside the table."""
    lines = (ROOT / "docs" / f"{page}.md").read_text().splitlines()
    rows = {name for line in lines if line.startswith("| `") for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    assert set(group_options(group)) - not_there <= rows


def test_defaults_stand_first_in_the_table_of_groups() -> None:
    defaults = dict(re.findall(r"^  - (\w+): (\w+)$", (conf_dir() / "train.yaml").read_text(), flags=re.MULTILINE))
    for group, name in defaults.items():
        assert group == "experiment" or f"| `{group}` | `{name}`" in RUNNING
