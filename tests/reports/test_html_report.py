"""The HTML page of acclimate compare, in a browser and as text."""

import csv
import struct
import time

import pytest
from browser import Watched
from finished_runs import write_run
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from torch.utils.tensorboard import SummaryWriter

from acclimate import cli
from acclimate.reports import html_report
from acclimate.reports.confusions import read_confusions
from acclimate.reports.curves import read_curves
from acclimate.training import tensorboard_summaries

ATTACK = "<script>document.title = 'attacked'</script>"
# The smallest picture that browsers accept: one pixel.
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


def write_curve(folder, *values):
    """Write an event file with a curve and with a picture, which is skipped."""
    with SummaryWriter(str(folder)) as writer:
        for step, value in enumerate(values):
            writer.add_scalar("score/corr_c", value, step)


def write_confusion(folder, *pairs):
    rows = [("sample", "domain", "label", "prediction", "confidence")]
    rows += [(str(number), "target", *pair, "0.9") for number, pair in enumerate(pairs)]
    with (folder / "test_predictions.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


@pytest.fixture
def report(monkeypatch, tmp_path):
    """Write runs of three methods with attacks in every name, and return the page of their comparison."""
    monkeypatch.chdir(tmp_path)
    for number, (method, accuracy) in enumerate([("source_only", 0.2), (f"dann{ATTACK}", 0.9), ("mcc", None)]):
        for seed in range(2):
            folder = tmp_path / "runs" / f"{method[:4]}-{seed}"
            overrides = [f"seed={seed}", f"optimizer.note{number}={ATTACK}", f"optimizer.lr={10.0 ** (number - 2)}"]
            write_run(folder, method, *overrides, accuracy=accuracy, corr_c=0.3 * number + 0.01 * seed)
            write_curve(folder, 0.1 * number, 0.2 * number, float("nan"), 0.3 * number)
            write_confusion(folder, ("cat", "cat"), (ATTACK, "cat"), ("=1+1", "dog"))
            (folder / "projection_end.png").write_bytes(PIXEL)
    cli.run_verb("compare", ["runs", "out=report.html"])
    return tmp_path / "report.html"


def test_in_a_browser_the_page_sorts_filters_and_draws_and_no_request_leaves(report, browser):
    opened = Watched(browser)
    page = opened.page
    page.goto(report.as_uri())

    def methods():
        # inner_text has no hidden rows.
        return [
            text.split("<")[0].split("\n")[0].removeprefix("▸ ")
            for text in page.locator("#results tbody tr:visible td:first-child").all_inner_texts()
        ]

    assert methods() == ["dann", "source_only", "mcc"]
    heading = page.locator("#results th", has_text="target accuracy")
    for direction, expected in (("descending", ["dann", "source_only", "mcc"]), ("ascending", ["source_only", "dann", "mcc"])):
        heading.locator("button").click()
        assert (heading.get_attribute("aria-sort"), methods()) == (direction, expected)
    page.locator("#results th", has_text="method").locator("button").click()
    assert methods() == ["dann", "mcc", "source_only"]
    assert page.locator("#chart path").count() == 6
    page.fill("#filter", "DANN lr=0.1")
    assert methods() == ["dann"]
    assert page.locator("#count").inner_text() == "1 of 3 rows"
    assert page.locator("#chart path").count() == 2
    page.fill("#filter", "")
    page.locator("#results td a", has_text="sour").first.click()
    run = page.locator("details", has_text="source_only")
    assert run.locator(".confusion th[scope=row]").all_inner_texts() == [ATTACK, "=1+1", "cat", "dog"]
    assert run.locator("img").evaluate("image => image.naturalWidth") == 1
    page.fill("#filter", "1e+01")
    assert methods() == []
    page.fill("#filter", "")
    assert page.locator("#settings tbody tr").count() == 3
    page.locator("#settings th", has_text="lr").locator("button").press("Enter")
    assert page.locator("#settings tbody tr td:first-child").all_inner_texts()[0].startswith("source_only")
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    assert max(row.bounding_box()["height"] for row in page.locator("#results tbody tr").all()) < 200
    for scheme, background in (("light", "rgb(255, 255, 255)"), ("dark", "rgb(24, 24, 24)")):
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate("getComputedStyle(document.documentElement).backgroundColor") == background
    assert page.title() == "Comparison of 6 runs"
    assert (opened.refused, opened.errors) == ([], [])


def test_names_are_escaped_and_nothing_is_loaded_from_elsewhere(report):
    text = report.read_text()
    assert ATTACK not in text
    assert text.count("<script") == 2
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")


def test_pictures_and_curves_beyond_what_a_browser_can_show_are_left_out_and_counted(report, monkeypatch):
    monkeypatch.setattr(html_report, "MAX_PICTURE_BYTES", 100)
    monkeypatch.setattr(html_report, "MAX_RUNS_WITH_CURVES", 3)
    cli.run_verb("compare", ["runs", "out=report.html"])
    text = report.read_text()
    assert "the details or pictures of 2 rows are left out" in text
    assert "of 3 of 6 runs" in text


def test_a_run_without_curves_predictions_or_pictures_has_a_page(tmp_path):
    write_run(tmp_path / "runs" / "a", "dann", accuracy=0.5)
    cli.run_verb("compare", [str(tmp_path / "runs"), f"out={tmp_path / 'report.html'}"])
    assert "contain no curves" in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(("text", "answers"), [("- Is it learning?\n- Signs & no <b>proof</b>.", 2), ("None.", 0)])
def test_the_best_run_of_a_row_shows_its_last_answers(tmp_path, text, answers):
    folder = write_run(tmp_path / "runs" / "a", "dann", accuracy=0.5)
    written = [Event(step=9, summary=tensorboard_summaries.text("answers", markdown, "")) for markdown in ("- Earlier.", text)]
    event_file(folder, "1", *written)
    cli.run_verb("compare", [str(tmp_path / "runs"), f"out={tmp_path / 'report.html'}"])
    page = (tmp_path / "report.html").read_text()
    assert (page.count('<p class="answer">'), "Earlier." in page) == (answers, False)
    assert ("Signs &amp; no &lt;b&gt;proof&lt;/b&gt;." in page) == bool(answers)


def test_rows_without_details_link_to_none(report, monkeypatch):
    monkeypatch.setattr(html_report, "MAX_ROWS_WITH_DETAILS", 1)
    cli.run_verb("compare", ["runs", "out=report.html"])
    text = report.read_text()
    assert (text.count('href="#run-0"'), text.count('href="#run-1"'), text.count('id="run-0"')) == (1, 0, 1)
    assert "the details or pictures of 2 rows are left out" in text


@pytest.mark.slow
def test_1000_runs_take_less_than_20_seconds(tmp_path):
    for number in range(1000):
        folder = tmp_path / "runs" / str(number)
        overrides = [f"seed={number % 5}", f"optimizer.lr={1 + number // 5}"]
        write_run(folder, "dann", *overrides, accuracy=number / 1000, corr_c=0.5)
        write_curve(folder, *range(20))
        write_confusion(folder, *[("cat", "dog")] * 100)
    before = time.monotonic()
    cli.run_verb("compare", [str(tmp_path / "runs"), f"out={tmp_path / 'report.html'}"])
    assert time.monotonic() - before < 20
    assert (tmp_path / "report.html").stat().st_size < 20_000_000


def event_file(folder, name, *events):
    with (folder / f"events.out.tfevents.{name}").open("wb") as file:
        for event in events:
            contents = event.SerializeToString()
            file.write(struct.pack("<Q", len(contents)) + bytes(4) + contents + bytes(4))


def scalar(step, value):
    return Event(step=step, summary=Summary(value=[Summary.Value(tag="loss", simple_value=value)]))


def test_a_resumed_run_replaces_what_was_logged_after_its_checkpoint(tmp_path):
    event_file(tmp_path, "1", *(scalar(step, 1.0) for step in range(5)))
    event_file(tmp_path, "2", Event(step=3, session_log=SessionLog(status=SessionLog.START)), scalar(3, 2.0), scalar(4, 2.0))
    assert read_curves(tmp_path, max_points=9) == {"loss": [(0, 1.0), (1, 1.0), (2, 1.0), (3, 2.0), (4, 2.0)]}


def test_pictures_in_event_files_are_skipped_and_damaged_ends_ignored(tmp_path):
    picture = Event(step=1, summary=Summary(value=[Summary.Value(tag="p", image=Summary.Image(encoded_image_string=bytes(100_000)))]))
    event_file(tmp_path, "1", scalar(0, 1.0), picture, scalar(1, float("inf")), scalar(2, 3.0))
    with next(tmp_path.glob("events*")).open("ab") as file:
        file.write(struct.pack("<Q", 30) + b"cut")
    assert read_curves(tmp_path, max_points=9) == {"loss": [(0, 1.0), (1, None), (2, 3.0)]}


def test_a_value_that_is_written_twice_is_one_point(tmp_path):
    tensor = TensorProto(dtype="DT_FLOAT", float_val=[1.0], tensor_shape=TensorShapeProto())
    described = Event(step=0, summary=Summary(value=[Summary.Value(tag="loss", tensor=tensor)]))
    event_file(tmp_path, "1", described, scalar(0, 1.0), scalar(1, 2.0))
    assert read_curves(tmp_path, max_points=9) == {"loss": [(0, 1.0), (1, 2.0)]}


def test_long_curves_keep_their_ends(tmp_path):
    event_file(tmp_path, "1", *(scalar(step, step) for step in range(1000)))
    curve = read_curves(tmp_path, max_points=10)["loss"]
    assert (len(curve), curve[0], curve[-1]) == (10, (0, 0.0), (999, 999.0))


def test_curves_are_read_from_csv_where_there_are_no_event_files(tmp_path):
    (tmp_path / "metrics.csv").write_text("epoch,step,loss,final/x\n0,1,0.5,\n0,2,0.25,\n0,2,,1\n")
    assert read_curves(tmp_path, max_points=10) == {"loss": [(1, 0.5), (2, 0.25)]}


@pytest.mark.parametrize("contents", [b"", b"\xff\xfe", b"a,b\n1,2\n", b'"'])
def test_damaged_predictions_have_no_confusion(tmp_path, contents):
    (tmp_path / "test_predictions.csv").write_bytes(contents)
    assert read_confusions(tmp_path) == []


def test_classes_have_the_order_of_the_probabilities_and_the_most_frequent_mistakes_come_first(tmp_path):
    (tmp_path / "test_predictions.csv").write_text(
        "sample,domain,label,prediction,confidence,p(b),p(=a)\n0,target,b,'=a,0.9,0.1,0.9\n1,target,'=a,'=a,0.9,0.1,0.9\n"
        "2,target,,b,0.9,0.9,0.1\n3,target,b,'=a,0.9,0.1,0.9\n"
    )
    (found,) = read_confusions(tmp_path)
    assert (found.classes, found.counts, found.mistakes()) == (["b", "=a"], [[0, 2], [0, 1]], [("b", "=a", 2)])
    assert found.accuracy == pytest.approx(1 / 3)
