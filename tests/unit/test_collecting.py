"""Which files a rule names: the same ones whether a folder is looked into or a node tells of them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.api.node_list import NodeList, asked_for, escaped
from isthmus.collecting import Limits, OutputRule, Refused, fits, parts_of
from isthmus.errors import InvalidInput

NAMES = st.sampled_from(["a", "b", "ab", ".a", "a.csv", "b.csv"])
PATHS = st.lists(NAMES, min_size=1, max_size=4)
PATTERNS = st.lists(st.sampled_from(["*", "**", "a", "b", "?", "*.csv", "[ab]", "a*"]), min_size=1, max_size=4)
LIMITS = Limits(max_output_mib=1, max_log_mib=1)


def rule(glob: str, name: str = "result") -> OutputRule:
    return OutputRule(name, glob, "text/csv", True)


def listed(*records: str, rules: tuple[OutputRule, ...] = (rule("*.csv"),)) -> NodeList:
    made = NodeList(rules, LIMITS)
    text = b"".join(record.encode("utf-8", "surrogateescape") + b"\0" for record in ("R/box/work", *records, "E"))
    for start in range(0, len(text), 7):
        made.feed(text[start : start + 7])
    return made


@settings(max_examples=150, deadline=None)
@given(st.lists(PATHS, max_size=6), PATTERNS, PATHS)
def test_a_pattern_fits_the_files_that_a_look_into_the_folder_finds(
    files: list[list[str]], pattern: list[str], link: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        made = {path for parts in files if (path := _made(root, parts))}
        alias = root.joinpath(*link[:1])
        if not alias.exists() and (root / "b").is_dir():
            alias.symlink_to("b")
        found = {path for path in root.glob("/".join(pattern)) if path.is_file()}
        told = {path for path in made if fits(pattern, path.relative_to(root).parts)}
        if alias.is_symlink():
            below = [alias / path.relative_to(root / "b") for path in made if path.is_relative_to(root / "b")]
            told |= {path for path in below if fits(pattern, path.relative_to(root).parts, 0)}
        assert told == found


def _made(root: Path, parts: list[str]) -> Path | None:
    path = root.joinpath(*parts)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError:
        return None  # a file stands where a folder should, or the other way round
    return path if path.is_file() else None


@pytest.mark.parametrize("glob", ["/etc/*", "../*", "a/../../b", ""])
def test_a_glob_that_leads_out_is_refused(glob: str) -> None:
    with pytest.raises(Refused, match="leads out of the work directory"):
        parts_of(rule(glob))
    assert "leads out" in listed(rules=(rule(glob),)).refusal


def test_a_file_that_two_rules_name_is_wanted_for_both_and_asked_for_once() -> None:
    found = listed("f81a4 5 ./a.csv", rules=(rule("*.csv"), rule("a*", "other"))).wanted()
    assert [(one.name, one.path, one.size) for one in found] == [("result", "a.csv", 5), ("other", "a.csv", 5)]
    assert len(list(asked_for(found, LIMITS))) == 1


def test_of_a_log_that_is_too_long_both_ends_are_asked_for() -> None:
    found = listed("s2000000 stdout", "s5 stderr").wanted()
    assert [line.split()[1:] for line in asked_for(found, LIMITS)] == [["524288", "stdout"], ["0", "stderr"]]


def test_a_path_is_written_so_that_a_shell_can_read_it() -> None:
    assert escaped("a b\n\\%é.csv") == "a\\0040b\\0012\\0134\\0045\\0303\\0251.csv"


@pytest.mark.parametrize(
    ("records", "words"),
    [
        (("la1ff 5 a.csv", "t/etc/passwd"), "a link that leaves the work directory"),
        (("l- 0 a.csv", "t/box/workshop/x"), "a link that leaves the work directory"),
        (("ua.csv", "f8180 5 a.csv"), "can't be read, as the program left it"),
        (("f1180 0 a.csv",), "no regular file"),
        (("f8180 0 \udcff.csv",), "not UTF-8"),
        (("f8180 1048577 a.csv",), "a job may leave 1 MiB"),
    ],
)
def test_what_must_not_be_collected_is_refused(records: tuple[str, ...], words: str) -> None:
    found = listed(*records)
    assert found.wanted() == [] and words in found.refusal


def test_links_to_nothing_and_to_folders_are_passed_over() -> None:
    assert listed("l- 0 a.csv", "t/box/work/nothing", "l41ed 9 b.csv", "t/box/work/b").wanted() == []


@pytest.mark.parametrize(
    "records",
    [
        ["f8180 5 /etc/passwd"],
        ["f8180 5 ../x"],
        ["f8180 x a"],
        ["x"],
        [""],
        ["t/box/work/a"],
        ["la1ff 5 a", "f8180 5 b"],
        ["s5 passwd"],
        ["f8180 -5 a"],
        ["f8180 1_0 a"],
        [f"f8180 {2**50} a"],
        ["f-8180 5 a"],
        ["f100000000 5 a"],
        [f"s{2**50} stdout"],
        ["s5 stdout", "s5 stdout"],
    ],
)
def test_what_is_no_list_is_refused(records: list[str]) -> None:
    with pytest.raises(InvalidInput, match="no list of a node's files"):
        listed(*records)


def test_bytes_behind_the_list_that_it_does_not_announce_are_refused() -> None:
    made = NodeList((rule("*"),), LIMITS)
    made.feed(b"R/box/work\0E\0f8180 5 a\0")
    with pytest.raises(InvalidInput, match="what follows"):
        list(made.following())


def test_a_list_without_its_end_is_not_believed() -> None:
    made = NodeList((rule("*"),), LIMITS)
    made.feed(b"R/box/work\0f8180 5 a\0")
    with pytest.raises(InvalidInput, match="too early"):
        made.wanted()


def test_a_very_deep_path_costs_no_more_than_its_length() -> None:
    deep = "/".join(["a"] * 4000)
    assert listed(f"f8180 5 {deep}", rules=(rule("**/a/**/a/**/b"),)).wanted() == []


def links(count: int, to: str = "/box/work") -> list[str]:
    return [record for n in range(count) for record in (f"l41ed 9 link{n}", f"t{to}")]


def test_files_behind_a_link_to_a_folder_are_found_by_both_ways() -> None:
    found = listed(*links(1, "/box/work/a/b"), "f8180 5 a/b/c.csv", rules=(rule("link0/*.csv"), rule("a/*/*.csv")))
    assert sorted(one.path for one in found.wanted()) == ["a/b/c.csv", "link0/c.csv"]


def test_links_and_files_that_can_not_be_read_are_bounded() -> None:
    assert "more than 1000 links" in listed(*links(1001), rules=(rule("*/*.csv"),)).refusal
    assert listed(*links(1001)).refusal == ""  # none of them can lead to an output
    unreadable = [f"ua{n}" for n in range(20_001)]
    assert "more than 20000 files that can't be read" in listed(*unreadable).refusal


def test_what_lies_behind_many_links_is_bounded() -> None:
    files = [f"f8180 5 a{n}" for n in range(201)]
    assert "more than 200000 files lie behind links" in listed(*links(1000), *files, rules=(rule("*/*.csv"),)).refusal
