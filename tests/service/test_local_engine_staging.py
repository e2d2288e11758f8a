"""Inputs put in, outputs collected: whole, once, nothing from outside the work directory, and within limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from isthmus.cluster import InputFile, OutputRule
from isthmus.cluster.supervisor.settings import LocalSettings
from isthmus.facts import OutputFile, StagedIn, StagedOut, StagingFailed
from tests.service.local_lab import Lab, local_lab, play

SETTINGS = LocalSettings(cpus=2, memory_mib=4096, max_output_mib=2, max_log_mib=1)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with local_lab(tmp_path, SETTINGS) as made:
        yield made


def rule(glob: str, *, required: bool = True) -> OutputRule:
    return OutputRule("result", glob, "text/csv", required)


async def collected(lab: Lab, script: str, *rules: OutputRule) -> StagedOut | StagingFailed:
    order = lab.order("gout", script, outputs=rules)
    await lab.run(order)
    return (await lab.cluster.stage_out([order]))["gout"]


def contents(lab: Lab, staged: StagedOut | StagingFailed) -> dict[str, str]:
    assert isinstance(staged, StagedOut), staged
    return {file.path: lab.files.path(file.sha256).read_text() for file in staged.files}


# --- in -------------------------------------------------------------------------------------------------------------
def test_inputs_are_read_only_copies_where_nothing_is_isolated(lab: Lab) -> None:
    async def story() -> None:
        order = lab.order("gin", "cat ../inputs/some/file", inputs={"some/file": "text"})
        await lab.run(order)
        assert lab.stdout("gin") == "text"
        copy = lab.directory("gin") / "inputs" / "some" / "file"
        assert copy.stat().st_mode & 0o777 == 0o444
        assert copy.stat().st_ino != lab.files.path(order.inputs[0].sha256).stat().st_ino

    play(story)


def test_staging_in_again_changes_nothing(lab: Lab) -> None:
    async def story() -> None:
        await lab.stage(lab.order("gagain", "echo first"))
        (lab.directory("gagain") / "work" / "note").touch()
        assert await lab.cluster.stage_in([lab.order("gagain", "echo second")]) == {"gagain": StagedIn()}
        assert (lab.directory("gagain") / "work" / "note").exists()
        await lab.submit("gagain")
        await lab.end("gagain")
        assert lab.stdout("gagain") == "first\n"

    play(story)


@pytest.mark.parametrize("name", ["../work/x", "/etc/x", "a/../../x", ""])
def test_an_input_whose_name_leads_out_of_the_inputs_directory_is_refused(lab: Lab, name: str) -> None:
    async def story() -> None:
        answer = (await lab.cluster.stage_in([lab.order("gname", "true", inputs={name: "x"})]))["gname"]
        assert isinstance(answer, StagingFailed) and answer.permanent
        assert await lab.cluster.tags() == frozenset()

    play(story)


def test_an_input_that_the_file_store_has_lost_is_a_lasting_failure(lab: Lab) -> None:
    async def story() -> None:
        order = replace(lab.order("glost", "true"), inputs=(InputFile("in", "0" * 64, 4),))
        answer = (await lab.cluster.stage_in([order]))["glost"]
        assert isinstance(answer, StagingFailed) and answer.permanent and "no longer" in answer.words

    play(story)


@pytest.mark.parametrize(("name", "value"), [("A B", "x"), ("X", "a\0b"), ("1", "x")])
def test_an_environment_that_cannot_be_set_is_refused(lab: Lab, name: str, value: str) -> None:
    async def story() -> None:
        answer = (await lab.cluster.stage_in([lab.order("genv", "true", environment={name: value})]))["genv"]
        assert isinstance(answer, StagingFailed) and answer.permanent and "environment" in answer.words

    play(story)


def test_a_tag_that_is_a_path_reaches_no_file(lab: Lab) -> None:
    async def story() -> None:
        (lab.root / "attempts").mkdir(parents=True)
        assert await lab.cluster.void([lab.handle("../../x")], 1) == {}
        with pytest.raises(ValueError, match="no tag"):
            await lab.cluster.read_log("../../x", "stdout", 0, 1)
        assert not (lab.root.parent / "x").exists()

    play(story)


# --- out ------------------------------------------------------------------------------------------------------------
def test_outputs_are_collected_in_order_with_both_streams(lab: Lab) -> None:
    async def story() -> None:
        script = "mkdir d; echo b >d/b.csv; echo a >d/a.csv; echo no >d/c.txt; echo said; echo wrong >&2"
        staged = await collected(lab, script, rule("d/*.csv"))
        found = {"d/a.csv": "a\n", "d/b.csv": "b\n", "stdout": "said\n", "stderr": "wrong\n"}
        assert contents(lab, staged) == found
        assert isinstance(staged, StagedOut) and [file.path for file in staged.files] == list(found)
        first, *_, last = staged.files
        assert (first.name, first.media_type, last.name, last.media_type) == (
            "result",
            "text/csv",
            "stderr",
            "text/plain",
        )

    play(story)


def test_a_promised_output_that_is_not_there_is_named_and_an_optional_one_is_not(lab: Lab) -> None:
    async def story() -> None:
        optional = OutputRule("extra", "extra.txt", "text/plain", required=False)
        staged = await collected(lab, "true", rule("none.csv"), optional)
        assert isinstance(staged, StagedOut) and staged.missing == ("result",)

    play(story)


@pytest.mark.parametrize(
    "script",
    [
        "ln -s /etc/passwd x.csv",
        "ln -s /etc d; ",
        "ln -s ../stdout x.csv",
        "mkdir -p d; ln -s ../../order.json d/x.csv",
    ],
)
def test_a_link_that_leaves_the_work_directory_is_refused(lab: Lab, script: str) -> None:
    async def story() -> None:
        refusal = await collected(lab, script, rule("*.csv", required=False), rule("d/*", required=False))
        assert isinstance(refusal, StagingFailed) and refusal.permanent
        assert "leaves the work directory" in refusal.words

    play(story)


def test_a_link_within_the_work_directory_is_collected_as_what_it_names(lab: Lab) -> None:
    async def story() -> None:
        staged = await collected(lab, "echo data >real; ln -s real x.csv; ln -s nothing y.csv", rule("*.csv"))
        assert contents(lab, staged)["x.csv"] == "data\n"
        assert "y.csv" not in contents(lab, staged)

    play(story)


def test_a_link_that_leads_back_to_itself_is_refused_and_its_neighbours_are_collected(lab: Lab) -> None:
    async def story() -> None:
        looped = lab.order("gloop", "ln -s x.csv x.csv", outputs=(rule("*.csv"),))
        sound = lab.order("gsound", "echo data >x.csv", outputs=(rule("*.csv"),))
        for order in (looped, sound):
            await lab.run(order)
        answers = await lab.cluster.stage_out([looped, sound])
        refusal = answers["gloop"]
        assert isinstance(refusal, StagingFailed) and refusal.permanent and "back to itself" in refusal.words
        assert contents(lab, answers["gsound"])["x.csv"] == "data\n"

    play(story)


def test_a_work_directory_that_the_program_replaced_with_a_link_is_refused(lab: Lab) -> None:
    async def story() -> None:
        refusal = await collected(lab, "cd ..; rm -r work; ln -s /etc work", rule("passwd"))
        assert isinstance(refusal, StagingFailed) and refusal.permanent

    play(story)


def test_an_order_that_cannot_be_worked_out_is_left_out_and_spoils_no_other(lab: Lab) -> None:
    async def story() -> None:
        orders = [lab.order(tag, "true") for tag in ("gfirst", "../x", "glast")]
        assert await lab.cluster.stage_in(orders) == {"gfirst": StagedIn(), "glast": StagedIn()}

    play(story)


def test_a_file_that_two_rules_name_and_one_called_like_a_stream_are_all_collected(lab: Lab) -> None:
    async def story() -> None:
        other = OutputRule("other", "x.*", "text/csv", required=True)
        staged = await collected(lab, "echo a >x.csv; echo b >stdout", rule("*"), other)
        assert isinstance(staged, StagedOut)
        found = [(file.name, file.path) for file in staged.files]
        expected = [("result", "stdout"), ("result", "x.csv"), ("other", "x.csv")]
        assert found == [*expected, ("stdout", "stdout"), ("stderr", "stderr")]

    play(story)


@pytest.mark.parametrize("glob", ["../order.json", "/etc/passwd", "a/../../x"])
def test_a_rule_that_leads_out_of_the_work_directory_is_refused(lab: Lab, glob: str) -> None:
    async def story() -> None:
        refusal = await collected(lab, "true", rule(glob))
        assert isinstance(refusal, StagingFailed) and refusal.permanent

    play(story)


def test_an_output_that_is_no_regular_file_is_refused_without_being_opened(lab: Lab) -> None:
    async def story() -> None:
        refusal = await collected(lab, "mkfifo x.csv", rule("*.csv"))
        assert isinstance(refusal, StagingFailed) and refusal.permanent and "no regular file" in refusal.words

    play(story)


def test_a_file_name_that_is_not_utf8_is_refused_with_words(lab: Lab) -> None:
    async def story() -> None:
        refusal = await collected(lab, "touch \"$(printf 'x\\377.csv')\"", rule("*.csv"))
        assert isinstance(refusal, StagingFailed) and refusal.permanent and "UTF-8" in refusal.words

    play(story)


def test_more_output_than_the_limit_is_a_lasting_failure_that_names_both(lab: Lab) -> None:
    async def story() -> None:
        refusal = await collected(lab, "head -c 3145728 /dev/zero >x.csv", rule("*.csv"))
        assert refusal == StagingFailed("its outputs have 3 MiB; a job may leave 2 MiB", permanent=True)

    play(story)


def test_a_long_log_keeps_its_beginning_and_its_end_and_says_what_is_missing(lab: Lab) -> None:
    async def story() -> None:
        staged = await collected(lab, "echo begin; head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end")
        text = contents(lab, staged)["stdout"]
        assert text.startswith("begin\nxxx") and text.endswith("x\nend\n")
        assert "\n[... 1951435 bytes left out ...]\n" in text
        assert len(text) < 1.01 * 1024 * 1024

    play(story)


def test_collecting_again_finds_the_same(lab: Lab) -> None:
    async def story() -> None:
        order = lab.order("gout", "echo x >x.csv", outputs=(rule("*.csv"),))
        await lab.run(order)
        first = await lab.cluster.stage_out([order])
        assert first == await lab.cluster.stage_out([order])
        assert isinstance(first["gout"], StagedOut) and isinstance(first["gout"].files[0], OutputFile)

    play(story)


def test_collecting_from_an_attempt_that_is_gone_is_a_lasting_failure(lab: Lab) -> None:
    async def story() -> None:
        answer = (await lab.cluster.stage_out([lab.order("gnowhere", "true")]))["gnowhere"]
        assert isinstance(answer, StagingFailed) and answer.permanent

    play(story)


def test_discarding_removes_what_the_program_tried_to_protect(lab: Lab) -> None:
    async def story() -> None:
        await lab.run(lab.order("gkeep", "mkdir -p a/b; touch a/b/c; chmod 0 a/b a"))
        await lab.listed_as_ended("gkeep")
        await lab.cluster.discard(["gkeep"])
        assert list((lab.root / "attempts").iterdir()) == []

    play(story)
