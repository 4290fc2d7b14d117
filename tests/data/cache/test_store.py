import logging
import multiprocessing
import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from acclimate import cli
from acclimate.data.cache import store
from acclimate.data.cache.entries import MARK
from acclimate.data.cache.store import CacheUnavailable, cached, clear, entries, key_of
from acclimate.errors import ConfigError


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCLIMATE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def keep(key, text, *, about="some text"):
    """Return the text of the entry with this name, creating it with the given text on a miss."""
    return cached(
        "texts", key, fill=lambda folder: (folder / "text").write_text(text), read=lambda folder: (folder / "text").read_text(), about=about
    )


def names():
    return {entry.folder.name for entry in entries()}


def test_an_entry_is_filled_once():
    assert [keep("a", "first"), keep("a", "second"), keep("b", "second")] == ["first", "first", "second"]


def test_an_entry_says_what_it_is_how_large_and_when_it_was_used():
    before = time.time() - 1
    keep("a", "x" * 100, about="a hundred crosses")
    (entry,) = entries()
    checksums = (entry.folder / MARK).stat().st_size
    assert (entry.about, entry.folder.name, entry.size) == ("a hundred crosses", "a", 100 + len("a hundred crosses") + checksums)
    assert before < entry.used < before + 60


def test_what_fails_half_way_leaves_nothing_behind(folder):
    def fail(unfinished):
        (unfinished / "text").write_text("half")
        raise KeyError("the reason")

    with pytest.raises(KeyError, match="the reason"):
        cached("texts", "a", fill=fail, read=lambda _: "read", about="")
    assert list(folder.glob("texts/*")) == []
    assert keep("a", "whole") == "whole"


def test_what_a_process_that_died_left_behind_is_never_read_and_goes_away(folder):
    for name in ("a.unfinished", "b.unfinished"):
        (folder / "texts" / name).mkdir(parents=True)
        (folder / "texts" / name / MARK).touch()
        (folder / "texts" / name / "text").write_text("half")
        (folder / "texts" / name / "other").write_text("half")
    assert keep("a", "whole") == "whole"
    assert names() == {"a"}
    assert not list((folder / "texts" / "a").glob("other"))
    clear()
    assert list(folder.glob("texts/*")) == []


def count_fills(folder, log, barrier):
    os.environ["ACCLIMATE_CACHE"] = str(folder)

    def fill(unfinished):
        with open(log, "a") as file:
            file.write("filled\n")
        (unfinished / "text").write_text("whole")

    barrier.wait()
    assert cached("texts", "a", fill=fill, read=lambda entry: (entry / "text").read_text(), about="") == "whole"


def test_of_processes_that_want_the_same_at_once_one_fills_it(folder, tmp_path):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(4)
    processes = [context.Process(target=count_fills, args=(folder, tmp_path / "log", barrier)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert (tmp_path / "log").read_text() == "filled\n"


def change(file, contents):
    file.write_bytes(contents(file.read_bytes()))


DAMAGE = {
    "cut": lambda entry: change(entry / "text", lambda text: text[:2]),
    "flipped": lambda entry: change(entry / "text", lambda text: text[:-1] + bytes([text[-1] ^ 1])),
    "longer": lambda entry: change(entry / "text", lambda text: text + b"more"),
    "empty": lambda entry: change(entry / "text", lambda _: b""),
    "of the right size": lambda entry: change(entry / "text", lambda text: bytes(len(text))),
    "missing": lambda entry: (entry / "text").unlink(),
    "a folder": lambda entry: ((entry / "text").unlink(), (entry / "text").mkdir()),
    "a pipe": lambda entry: ((entry / "text").unlink(), os.mkfifo(entry / "text")),
    "a link": lambda entry: ((entry / "text").rename(entry / "other"), (entry / "text").symlink_to("other")),
    "a dangling link": lambda entry: ((entry / "text").unlink(), (entry / "text").symlink_to("nowhere")),
    "without checksums": lambda entry: (entry / MARK).unlink(),
    "with empty checksums": lambda entry: change(entry / MARK, lambda _: b""),
    "with fewer checksums": lambda entry: change(entry / MARK, lambda lines: lines.split(b"\n")[0]),
    "with flipped checksums": lambda entry: change(entry / MARK, lambda lines: lines[:-1] + bytes([lines[-1] ^ 1])),
    "with checksums of bytes": lambda entry: change(entry / MARK, lambda _: b"\xff\xfe"),
    "an empty folder": lambda entry: (shutil.rmtree(entry), entry.mkdir()),
    "a file itself": lambda entry: (shutil.rmtree(entry), entry.write_text("foreign")),
    "a dangling link itself": lambda entry: (shutil.rmtree(entry), entry.symlink_to("nowhere")),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_entry_is_made_anew_with_a_message(folder, damage, caplog):
    assert keep("a", "whole") == "whole"
    DAMAGE[damage](folder / "texts" / "a")
    with caplog.at_level(logging.WARNING):
        assert keep("a", "anew", about="a word") == "anew"
    assert "A damaged entry of the cache is created again, a word" in caplog.text
    assert keep("a", "again") == "anew"
    assert [path.name for path in folder.glob("texts/*")] == ["a"]


def test_words_about_an_entry_may_be_lost(folder):
    keep("a", "whole")
    (folder / "texts" / "a" / "about").unlink()
    assert [entry.about for entry in entries()] == ["unknown"]
    assert keep("a", "anew") == "whole"


@pytest.fixture
def precious(tmp_path):
    """A folder of the user's that looks as much like an entry as it can by chance."""
    for name in ("texts/a", "texts/a.unfinished", "images/a", "a"):
        (tmp_path / "precious" / name).mkdir(parents=True)
        (tmp_path / "precious" / name / "about").write_text("precious")
    return tmp_path / "precious"


def contents(folder):
    return {path.relative_to(folder): path.read_text() for path in folder.rglob("*") if path.is_file()}


LINKS = {
    "a kind of entries": lambda cache, precious: (cache / "linked").symlink_to(precious / "texts"),
    "an entry": lambda cache, precious: (cache / "texts" / "linked").symlink_to(precious / "a"),
    "an entry's file": lambda cache, precious: (cache / "texts" / "a" / "linked").symlink_to(precious / "a"),
    "what is being written": lambda cache, precious: (cache / "texts" / "b.unfinished").symlink_to(precious / "a"),
    "locks": lambda cache, precious: (shutil.rmtree(cache / "locks"), (cache / "locks").symlink_to(precious / "a")),
    "nothing": lambda cache, precious: shutil.copytree(precious, cache, dirs_exist_ok=True),
}


@pytest.mark.parametrize("marked", [False, True])
@pytest.mark.parametrize("link", LINKS)
def test_clearing_and_making_room_follow_no_link_and_remove_nothing_of_others(folder, precious, link, marked, monkeypatch):
    keep("c", "text")
    keep("a", "text")
    if marked and link != "nothing":
        # As if it were an entry: it lies elsewhere nevertheless.
        for place in precious.glob("**/about"):
            (place.parent / MARK).write_text("00000000")
    before = contents(precious)
    LINKS[link](folder, precious)
    keep("b", "text")
    monkeypatch.setenv("ACCLIMATE_CACHE_GB", "0.0000001")
    keep("d", "text")
    clear()
    assert {path: text for path, text in contents(precious).items() if path.parts[-1] not in ("texts-b", "texts-d")} == before
    assert entries() == []
    if link == "nothing":
        assert contents(folder).items() >= {path: text for path, text in before.items() if path.parts[:2] != ("texts", "a")}.items()


def test_a_cache_that_is_a_link_itself_is_used(folder, tmp_path, precious):
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to("elsewhere")
    keep("a", "text")
    assert names() == {"a"}
    clear()
    assert folder.is_symlink()
    folder.unlink()
    folder.symlink_to(precious)
    before = contents(precious)
    clear()
    assert contents(precious) == before


def test_a_kind_of_entries_that_is_a_link_is_not_written_to(folder, precious):
    folder.mkdir()
    (folder / "texts").symlink_to(precious / "texts")
    with pytest.raises(CacheUnavailable, match="is a link, which the cache does not follow"):
        keep("new", "text")


def test_entries_from_before_there_were_checksums_can_be_cleared(folder):
    for name in (f"images/{key_of('a')}", f"features/{key_of('a')}.unfinished"):
        (folder / name).mkdir(parents=True)
        (folder / name / "about").write_text("an old entry")
    assert [entry.about for entry in entries()] == ["an old entry"]
    clear()
    assert list(folder.glob("*/*")) == list(folder.glob("locks/*"))


def test_what_was_used_longest_ago_makes_room(monkeypatch):
    monkeypatch.setenv("ACCLIMATE_CACHE_GB", "0.000001")
    for age, key in enumerate("abc"):
        keep(key, "x" * 300, about="")
        os.utime(store.root() / "texts" / key, (age, age))
    keep("a", "is there already")
    keep("d", "x" * 300, about="")
    assert names() == {"a", "c", "d"}


def test_what_is_larger_than_the_whole_cache_is_not_kept_and_removes_nothing(monkeypatch, folder):
    monkeypatch.setenv("ACCLIMATE_CACHE_GB", "0.000001")
    keep("a", "small")
    with pytest.raises(CacheUnavailable, match=r"larger than the 1e-06 GB that ACCLIMATE_CACHE_GB allows"):
        keep("b", "x" * 2000)
    assert [path.name for path in folder.glob("texts/*")] == ["a"]


def test_a_folder_that_cannot_be_written_is_a_reason_to_go_on_without(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("ACCLIMATE_CACHE", str(tmp_path / "file"))
    with pytest.raises(CacheUnavailable, match="cannot be used"):
        keep("a", "text")


@pytest.mark.parametrize("text", ["much", "-1", "nan"])
def test_a_limit_that_is_no_number_is_named(monkeypatch, text):
    monkeypatch.setenv("ACCLIMATE_CACHE_GB", text)
    with pytest.raises(ConfigError, match=f"ACCLIMATE_CACHE_GB={text} must be a number of gigabytes"):
        store.limit()


def test_without_a_folder_of_ones_own_it_is_in_that_of_caches(monkeypatch, tmp_path):
    monkeypatch.delenv("ACCLIMATE_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    assert store.root() == tmp_path / "caches" / "acclimate"
    monkeypatch.delenv("XDG_CACHE_HOME")
    usual = Path("Library", "Caches") if sys.platform == "darwin" else Path(".cache")
    assert store.root() == tmp_path / usual / "acclimate"


def test_own_folder_comes_before_that_of_caches(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.setenv("ACCLIMATE_CACHE", str(tmp_path / "own"))
    assert store.root() == tmp_path / "own"


def test_the_command_lists_and_clears(capsys):
    keep(key_of("a"), "text", about="a word")
    cli.run_verb("cache", [])
    listed = capsys.readouterr().out
    assert "texts" in listed
    assert "a word" in listed
    assert str(store.root()) in listed
    cli.run_verb("cache", ["clear"])
    assert str(store.root()) in capsys.readouterr().out
    assert entries() == []
    cli.run_verb("cache", [])
    assert "0.00 of at most 20 GB" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="does not take all"):
        cli.run_verb("cache", ["all"])
