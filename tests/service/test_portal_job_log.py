"""A job's log in its page: the last lines at once, the others in whole pieces, all of it to be saved."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from isthmus.job import Cause, JobState
from tests.service.api_rig import Rig
from tests.service.portal_jobs import PICTURE, Wrote, atlas_job, ended, followed, reached, serving_atlas
from tests.service.portal_rig import Browser, signed_in, text_of


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with serving_atlas(tmp_path_factory) as rig:
        yield rig


@pytest.fixture
def ada(portal: Rig) -> Browser:
    return signed_in(portal, "ada")


def running(portal: Rig, ada: Browser, stdout: bytes, stderr: bytes = b"") -> str:
    """A running job that has written this."""
    job_id = atlas_job(ada.person)
    reached(portal, job_id, JobState.RUNNING)
    followed(portal, job_id, {"stdout": stdout, "stderr": stderr})
    return job_id


def test_the_page_holds_the_last_lines_with_their_numbers(portal: Rig, ada: Browser) -> None:
    job_id = running(portal, ada, b"".join(b"line %d\n" % n for n in range(1, 10_001)))
    shown = ada.get(f"/jobs/{job_id}").text
    assert '<div class="log-line" data-number="10000">line 10000</div>' in shown
    assert ">line 1<" not in shown
    assert "Only the end is shown." in text_of(shown)


def test_the_page_follows_from_the_byte_it_has_come_to(portal: Rig, ada: Browser) -> None:
    job_id = running(portal, ada, b"one\ntwo")
    shown = ada.get(f"/jobs/{job_id}").text
    assert f'data-live="/live?job={job_id}&log=stdout&from=7"' in shown.replace("&amp;", "&")
    assert "data-open" in shown


def test_a_log_that_is_complete_is_not_followed(portal: Rig, ada: Browser) -> None:
    job_id = atlas_job(ada.person)
    ended(portal, job_id, [PICTURE, Wrote("stdout", "stdout", b"all\n", "text/plain")])
    shown = ada.get(f"/jobs/{job_id}").text
    assert f'data-live="/live?job={job_id}"' in shown
    assert "This is all of it." in text_of(shown)


def test_the_other_log_is_a_link_away_without_javascript(portal: Rig, ada: Browser) -> None:
    job_id = running(portal, ada, b"to stdout\n", b"to stderr\n")
    assert 'href="?log=stderr#log"' in ada.get(f"/jobs/{job_id}").text
    shown = text_of(ada.get(f"/jobs/{job_id}?log=stderr").text)
    assert "to stderr" in shown
    assert "to stdout" not in shown


def test_a_program_that_failed_is_shown_with_what_it_said_to_stderr(portal: Rig, ada: Browser) -> None:
    job_id = atlas_job(ada.person)
    logs = [
        Wrote("stdout", "stdout", b"fine\n", "text/plain"),
        Wrote("stderr", "stderr", b"Traceback!\n", "text/plain"),
    ]
    ended(portal, job_id, logs, state=JobState.FAILED, cause=Cause.EXIT_NONZERO, evidence="exit code 1", code=1)
    assert "Traceback!" in text_of(ada.get(f"/jobs/{job_id}").text)


def test_pieces_before_one_another_make_the_whole_log(portal: Rig, ada: Browser) -> None:
    log = b"".join(b"%d %s\n" % (n, b"x" * (n % 300)) for n in range(5000))
    job_id = running(portal, ada, log)
    piece = ada.get(f"/jobs/{job_id}/log/stdout").json()
    assert piece["next_offset"] == len(log)
    text = piece["text"]
    while piece["offset"] > 0:
        line = int(piece["text"].partition(" ")[0])
        assert piece["first_line"] == line + 1
        piece = ada.get(f"/jobs/{job_id}/log/stdout?before={piece['offset']}").json()
        text = piece["text"] + text
    assert text.encode() == log


def test_one_line_that_is_longer_than_a_piece_is_not_lost(portal: Rig, ada: Browser) -> None:
    log = b"short\n" + b"y" * 300_000 + b"\nend\n"
    job_id = running(portal, ada, log)
    piece = ada.get(f"/jobs/{job_id}/log/stdout").json()
    text = piece["text"]
    while piece["offset"] > 0:
        piece = ada.get(f"/jobs/{job_id}/log/stdout?before={piece['offset']}").json()
        text = piece["text"] + text
    assert text.encode() == log


def test_a_character_cut_at_the_end_waits_for_its_rest(portal: Rig, ada: Browser) -> None:
    job_id = running(portal, ada, b"na " + "ï".encode()[:1])
    piece = ada.get(f"/jobs/{job_id}/log/stdout").json()
    assert (piece["text"], piece["next_offset"]) == ("na ", 3)


def test_the_whole_log_is_saved_as_the_program_wrote_it(portal: Rig, ada: Browser) -> None:
    log = b"\x1b[31mred\xff\x00\n" * 100_000
    job_id = running(portal, ada, log)
    answer = ada.get(f"/jobs/{job_id}/log/stdout/file")
    assert answer.content == log
    assert answer.headers["content-disposition"] == f'attachment; filename="{job_id}.stdout.txt"'
    assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"


def test_a_program_that_wrote_nothing_is_said_to_have_written_nothing(portal: Rig, ada: Browser) -> None:
    job_id = atlas_job(ada.person)
    ended(portal, job_id, [PICTURE])
    assert "The program wrote nothing to stdout." in text_of(ada.get(f"/jobs/{job_id}").text)


@pytest.mark.parametrize("query", ["before=-1", "before=x", "before=99999999999999999999", "before="])
def test_a_place_that_is_none_is_refused_in_words(portal: Rig, ada: Browser, query: str) -> None:
    job_id = running(portal, ada, b"x\n")
    answer = ada.get(f"/jobs/{job_id}/log/stdout?{query}")
    assert answer.status_code == 422
    assert "There is no such place in the log" in text_of(answer.text)


def test_a_place_beyond_the_end_holds_nothing(portal: Rig, ada: Browser) -> None:
    job_id = running(portal, ada, b"x\n")
    assert ada.get(f"/jobs/{job_id}/log/stdout?before=900000000").json()["text"] == ""


def test_there_are_two_logs_and_no_third(portal: Rig, ada: Browser) -> None:
    job_id = running(portal, ada, b"x\n")
    assert ada.get(f"/jobs/{job_id}/log/stdin").status_code == 404
    assert ada.get(f"/jobs/{job_id}/log/stdin/file").status_code == 404
    assert ada.get(f"/jobs/{job_id}?log=stdin").status_code == 200
