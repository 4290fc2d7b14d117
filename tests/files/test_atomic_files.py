import errno
import json
import math
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from acclimate.errors import StorageError
from acclimate.files.atomic_files import refuse_output, remove_unfinished, replacing, write_json


def write(path, contents=b"new", **keeping):
    with replacing(path, **keeping) as file:
        file.write(contents)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "new folder" / "file"
    for contents in (b"first", b"second"):
        write(path, contents)
        assert path.read_bytes() == contents
    assert names(path.parent) == ["file"]


def test_an_error_leaves_the_file_as_it_was(tmp_path):
    write(tmp_path / "file", b"old")
    with pytest.raises(KeyError), replacing(tmp_path / "file") as file:
        file.write(b"half")
        raise KeyError
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_readers_never_find_a_part(tmp_path):
    path = tmp_path / "file"
    write(path, b"0" * 100_000, previous=tmp_path / "before")
    found, done = [], threading.Event()

    def read():
        while not done.is_set():
            found.append(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(50):
        write(path, b"%d" % (number % 10) * 100_000, previous=tmp_path / "before")
    done.set()
    reader.join()
    assert found
    assert all(len(set(contents)) == 1 and len(contents) == 100_000 for contents in found)


def test_files_and_links_of_others_stay_as_they_are(tmp_path):
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    # Names that were used before, and could be guessed.
    for name in ("table.unfinished", "table.csv.unfinished", ".table.csv.unfinished"):
        (tmp_path / name).symlink_to(precious)
    before = names(tmp_path)
    write(tmp_path / "table.csv")
    assert precious.read_bytes() == b"precious"
    assert names(tmp_path) == sorted([*before, "table.csv"])


def test_a_file_that_is_being_written_has_a_name_that_nobody_can_guess(tmp_path):
    seen = set()
    for _ in range(3):
        with replacing(tmp_path / "file"):
            seen.update(names(tmp_path))
    assert len(seen - {"file"}) == 3


def test_a_name_as_long_as_a_name_can_be(tmp_path):
    write(tmp_path / ("n" * 255))
    assert names(tmp_path) == ["n" * 255]


@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path, dangling):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to("elsewhere/file")
    if not dangling:
        (tmp_path / "elsewhere" / "file").write_bytes(b"old")
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "elsewhere" / "file").read_bytes() == b"new"


def test_permissions_are_kept_and_new_files_have_the_usual_ones(tmp_path):
    (tmp_path / "old").touch(mode=0o600)
    write(tmp_path / "old")
    assert stat.S_IMODE((tmp_path / "old").stat().st_mode) == 0o600
    mask = os.umask(0o027)
    try:
        write(tmp_path / "new")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640


def test_the_file_before_is_kept(tmp_path, monkeypatch):
    path, before = tmp_path / "file", tmp_path / "before"
    for number, contents in enumerate([b"1", b"2", b"3", b"4"]):
        if number == 3:
            # On a file system without hard links.
            monkeypatch.setattr(os, "link", lambda *_, **__: (_ for _ in ()).throw(OSError(errno.EPERM, "no links")))
        write(path, contents, previous=before)
        assert path.read_bytes() == contents
        assert (before.read_bytes() if before.exists() else None) == [None, b"1", b"2", b"3"][number]


def test_a_pipe_is_written_to_and_stays(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    reader.start()
    write_json(pipe, {"accuracy": 0.5})
    reader.join()
    assert b'"accuracy": 0.5' in received[0]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_device_is_written_to_and_stays(tmp_path):
    device = tmp_path / "null"
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        device.write_bytes(b"")
    except PermissionError:
        pytest.skip("only root makes devices")
    write(device)
    assert stat.S_ISCHR(device.stat().st_mode)
    assert names(tmp_path) == ["null"]


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_is_written_to_between_what_is_printed(tmp_path, name):
    program = f"import pathlib, acclimate.files.atomic_files as files; print(1); files.write_json(pathlib.Path({name!r}), {{}}); print(2)"
    with (tmp_path / "output").open("wb") as output:
        subprocess.run([sys.executable, "-c", program], stdout=output, check=True)
    assert (tmp_path / "output").read_text() == "1\n{}\n2\n"
    assert names(tmp_path) == ["output"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_named_by_the_folder(tmp_path, monkeypatch, number):
    write(tmp_path / "file", b"old")

    def fail(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageError) as caught:
        write(tmp_path / "file")
    assert f"{tmp_path / 'file'} cannot be written: {tmp_path} is full" in str(caught.value)
    assert "unfinished" not in str(caught.value)
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_what_killed_processes_left_behind_is_removed_and_nothing_else(tmp_path):
    for name in (".acclimate-0123456789abcdef.unfinished", "mine.unfinished", "file"):
        (tmp_path / name).touch()
    remove_unfinished(tmp_path)
    remove_unfinished(tmp_path / "nowhere")
    assert names(tmp_path) == ["file", "mine.unfinished"]


def test_an_output_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=f"out={tmp_path} is a folder"):
        refuse_output(tmp_path)
    with pytest.raises(StorageError, match=f"{tmp_path / 'file'} is not a folder"):
        refuse_output(tmp_path / "file" / "table.csv")
    for path in (tmp_path / "file", tmp_path / "new" / "folder" / "file", Path("/dev/null"), Path("/dev/stdout")):
        refuse_output(path)


def test_numbers_that_are_not_finite_are_null_in_strict_json(tmp_path):
    numbers = {"a": math.nan, "b": [math.inf, 1.5], "c": {"d": -math.inf, "e": (True, 2)}, "f": "NaN"}
    write_json(tmp_path / "numbers.json", numbers)

    def refuse(constant):
        raise ValueError(constant)

    read = json.loads((tmp_path / "numbers.json").read_text(), parse_constant=refuse)
    assert read == {"a": None, "b": [None, 1.5], "c": {"d": None, "e": [True, 2]}, "f": "NaN"}
