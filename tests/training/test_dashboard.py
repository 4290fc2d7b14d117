"""TensorBoard in a browser, on a finished sweep: the page of the story, pictures, hyperparameters, texts and the projector."""

import json
import logging
import time
from urllib.request import urlopen

import pytest
from browser import Watched
from small_runs import SMALL

from acclimate import cli

pytestmark = pytest.mark.slow

RATES = ("0.001", "0.003")
METHODS = ("source_only", "dann", "mcc", "cdan")


@pytest.fixture(scope="module")
def sweep(archives, tmp_path_factory):
    """The folder of a finished sweep of 8 runs."""
    folder = tmp_path_factory.mktemp("dashboard") / "sweep"
    small = [text for text in SMALL if not text.startswith(("logger", "callbacks.pictures"))]
    varied = [f"method={','.join(METHODS)}", f"optimizer.lr={','.join(RATES)}"]
    options = [*archives, *small, *varied, "trainer.max_epochs=3", f"hydra.sweep.dir={folder}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["acclimate", "train", "-m", *options])
        cli.main()
    return folder


@pytest.fixture(scope="module")
def board(sweep):
    """The address of TensorBoard, started without options."""
    from tensorboard import program

    server = program.TensorBoard()
    server.configure(argv=["tensorboard", "--logdir", str(sweep), "--host", "127.0.0.1", "--port", "0"])
    address = server.launch()
    logging.getLogger("tensorboard").setLevel(logging.WARNING)
    deadline = time.monotonic() + 60
    while len(json.load(urlopen(f"{address}data/runs"))) < len(METHODS) * len(RATES):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return address


@pytest.fixture
def open_page(browser, board):
    """Opens a page of TensorBoard and returns it; requests to other machines are refused."""

    def open_tab(tab):
        watched = Watched(browser, (board, "data:", "blob:"), viewport={"width": 1400, "height": 1200})
        watched.page.set_default_timeout(60_000)
        watched.page.goto(f"{board}#{tab}")
        # TensorBoard chooses a page before it knows which there are.
        watched.page.wait_for_timeout(3000)
        watched.page.reload()
        opened.append(watched.page)
        return watched.page

    opened = []
    yield open_tab
    for page in opened:
        page.close()


def test_the_page_of_the_story_has_its_three_questions(open_page):
    page = open_page("custom_scalars")
    for question in ("1. Is it learning?", "2. Is it adapting?", "3. Can it be trusted?"):
        page.get_by_text(question).wait_for()
    page.get_by_text("all charts: x axis = steps").wait_for()
    page.get_by_text("Discriminator's accuracy on target inputs").first.wait_for()


def test_curves_have_their_descriptions_behind_the_sign_beside_their_names(open_page):
    page = open_page("scalars&tagFilter=%5Eselection%2Fvalue")
    page.locator("paper-icon-button[icon=info]").filter(visible=True).first.click()
    page.get_by_text("The score that selects the checkpoint.").filter(visible=True).first.wait_for()


def test_pictures_are_shown(open_page):
    page = open_page("images")
    page.get_by_text("samples", exact=True).first.wait_for()
    page.locator("tf-image-loader img").first.wait_for()


def test_hyperparameters_have_a_row_for_each_job_with_its_method_and_what_varied(open_page):
    page = open_page("hparams")
    for method in METHODS:
        page.locator("vaadin-grid-cell-content").get_by_text(method, exact=True).first.wait_for()
    cells = page.locator("vaadin-grid-cell-content").all_inner_texts()
    assert {method: cells.count(method) for method in METHODS} == dict.fromkeys(METHODS, len(RATES))
    headings = [name for name in page.locator("vaadin-grid-sorter").all_inner_texts() if name.strip()] or cells
    shown = " ".join(headings).replace("\n", "")
    assert "optimizer.lr" in shown
    assert "final/target/test_accuracy" in shown
    assert "_target_" not in shown


def test_the_projector_loads_the_features(open_page):
    page = open_page("projector")
    for part in ("tensor", "metadata", "sprite_image"):
        with page.expect_response(lambda response, part=part: f"projector/{part}" in response.url) as answer:
            page.reload()
        assert answer.value.ok


def test_texts_show_the_configuration_the_data_and_what_curves_mean(open_page):
    page = open_page("text")
    page.get_by_text("Is it learning? Source accuracy").filter(visible=True).first.wait_for()
    for name in ("answers", "configuration", "curves", "data", "warnings"):
        # TensorBoard opens only the first sections.
        page.get_by_text(name, exact=True).first.wait_for(state="attached")
