"""Names of files and classes that would command a terminal or a spreadsheet."""

import csv
import logging
import sys
from pathlib import Path

import pytest
from PIL import Image

from acclimate import cli
from acclimate.files.atomic_files import write_table
from acclimate.files.printable import PrintableRecord, csv_cell, printable

ODD = ["\x1b[31mred", "a\nacclimate: all is well", "b\rc", "[red]d[/red]", "\u202egnp", "e\udcff", "\x07", "\x9b31m", ":smile:", "f\u2028g"]


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "'quoted", "a\\nb", *ODD, "\t=1", "plain/é 1.jpg"])
def test_a_cell_is_no_formula_and_gives_the_name_back(name, tmp_path):
    write_table(tmp_path / "table.csv", [("image",), (name,)])
    text = (tmp_path / "table.csv").read_text()
    (_,), (cell,) = csv.reader(text.splitlines())
    assert cell[0] not in "=+-@\t\r"
    assert all(character.isprintable() for character in cell)
    escaped = cell.removeprefix("'")
    assert escaped.encode("latin-1", "backslashreplace").decode("unicode_escape") == name


def test_usual_names_stay_as_they_are():
    for name in ("cat/1.jpg", "日本語.png", "a b (1).png", "Ünïcode", "100%"):
        assert csv_cell(name) == printable(name) == name


def test_log_lines_hold_one_line_for_each_argument(caplog):
    record = PrintableRecord("acclimate", logging.INFO, "file", 1, "%s has\n%d images of %s", (Path("a\nb"), 3, "\x1b[2J"), None)
    assert record.getMessage() == "a\\nb has\n3 images of \\x1b[2J"


def test_messages_and_tables_show_odd_names_as_escapes(tmp_path, monkeypatch, capsys):
    for name in ODD:
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.new("RGB", (9, 9)).save(tmp_path / "photos" / name / "1.png")
    (tmp_path / "photos" / ODD[0] / "\x1b[2J\n.png").write_bytes(b"no image")
    monkeypatch.chdir(tmp_path)
    words = [
        "train",
        "data=image_folder",
        "data.source=photos",
        "data.cache=none",
        "data.target=null",
        "method=source_only",
        "trainer=smoke",
    ]
    monkeypatch.setattr(sys, "argv", ["acclimate", *words])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    printed = capsys.readouterr()
    assert stop.value.code == 2
    assert "\\x1b[2J\\n.png is not a whole image" in printed.err
    assert all(character.isprintable() or character == "\n" for character in printed.err + printed.out)
    assert printed.err.count("\n") == 1
