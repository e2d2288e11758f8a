"""A job's outputs in its page: in the definition's order, drawn as it says, and never run as a page of this site."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator

import pytest

from isthmus.job import Cause, JobState
from tests.service.api_rig import Rig
from tests.service.portal_jobs import GEOJSON, PICTURE, PNG, Wrote, atlas_job, ended, reached, serving_atlas
from tests.service.portal_rig import Browser, signed_in, text_of

SVG = Wrote(
    "drawing", "d.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "image/svg+xml"
)
HTML = Wrote("website", "w.html", b"<script>alert(1)</script>", "text/html")


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with serving_atlas(tmp_path_factory) as rig:
        yield rig


@pytest.fixture
def ada(portal: Rig) -> Browser:
    return signed_in(portal, "ada")


def done(portal: Rig, browser: Browser, *files: Wrote) -> str:
    """A job of the browser's that completed and left these files."""
    job_id = atlas_job(browser.person)
    ended(portal, job_id, files)
    return job_id


def test_outputs_stand_in_the_definitions_order(portal: Rig, ada: Browser) -> None:
    table = Wrote("rows", "rows.csv", b"a,b\n1,2\n", "text/csv")
    shown = ada.get(f"/jobs/{done(portal, ada, table, PICTURE, GEOJSON)}").text
    places = [shown.index(f'id="group-of-{name}"') for name in ("storms", "picture", "rows")]
    assert places == sorted(places)


def test_a_picture_stands_in_the_page_with_its_label_as_words(portal: Rig, ada: Browser) -> None:
    job_id = done(portal, ada, PICTURE)
    assert (
        f'src="/jobs/{job_id}/outputs/picture/file?path=reflectivity.png&amp;inline=1"'
        in ada.get(f"/jobs/{job_id}").text
    )
    assert 'alt="Reflectivity (reflectivity.png)' in ada.get(f"/jobs/{job_id}").text
    answer = ada.get(f"/jobs/{job_id}/outputs/picture/file?path=reflectivity.png&inline=1")
    assert answer.content == PNG
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"].startswith("inline")
    assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("wrote", [SVG, HTML, GEOJSON], ids=lambda one: one.name)
@pytest.mark.parametrize("query", ["", "&inline=1"])
def test_nothing_but_a_raster_image_is_ever_sent_to_be_shown(
    portal: Rig, ada: Browser, wrote: Wrote, query: str
) -> None:
    job_id = done(portal, ada, PICTURE, wrote)
    answer = ada.get(f"/jobs/{job_id}/outputs/{wrote.name}/file?path={wrote.path}{query}")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"


def test_svg_and_html_are_said_to_be_downloads_only(portal: Rig, ada: Browser) -> None:
    job_id = done(portal, ada, PICTURE, SVG, HTML)
    shown = ada.get(f"/jobs/{job_id}").text
    assert text_of(shown).count("This kind of file can hold a program") == 2
    assert "outputs/drawing/part/view" not in shown
    for name, path in (("drawing", "d.svg"), ("website", "w.html")):
        assert ada.part(f"/jobs/{job_id}/outputs/{name}/part/view?path={path}").status_code == 404


def test_a_file_named_html_is_no_text_either_whatever_its_output_is_called(portal: Rig, ada: Browser) -> None:
    job_id = done(portal, ada, PICTURE, Wrote("rest", "sneaky.html", b"<script>", "application/octet-stream"))
    assert "This kind of file can hold a program" in text_of(ada.get(f"/jobs/{job_id}").text)
    answer = ada.get(f"/jobs/{job_id}/outputs/rest/file?path=sneaky.html&inline=1")
    assert answer.headers["content-disposition"].startswith("attachment")


def test_a_map_is_left_to_the_pages_own_module(portal: Rig, ada: Browser) -> None:
    shown = ada.get(f"/jobs/{done(portal, ada, PICTURE, GEOJSON)}").text
    assert 'data-draw="map"' in shown
    assert 'data-media-type="application/geo+json"' in shown


def test_kml_that_the_definition_only_offers_for_download_can_be_unfolded(portal: Rig, ada: Browser) -> None:
    kml = Wrote("earth", "storms.kml", b"<kml/>", "application/vnd.google-earth.kml+xml")
    shown = ada.get(f"/jobs/{done(portal, ada, PICTURE, kml)}").text
    assert "Show it here" in shown
    assert "data-when-open" in shown


# --- tables and texts -------------------------------------------------------------------------------------------------
def table_of(portal: Rig, ada: Browser, content: bytes) -> str:
    job_id = done(portal, ada, PICTURE, Wrote("rows", "rows.csv", content, "text/csv"))
    answer = ada.part(f"/jobs/{job_id}/outputs/rows/part/view?path=rows.csv")
    assert answer.status_code == 200
    return answer.text


def test_a_table_shows_its_first_rows_and_says_how_many_there_are(portal: Rig, ada: Browser) -> None:
    shown = table_of(portal, ada, b"place,rain\n" + b"".join(b'"town, %d",%d.5\n' % (n, n) for n in range(1234)))
    assert "The first 200 of 1,234 rows" in text_of(shown)
    assert shown.count("<tr>") == 201
    assert "town, 199" in shown
    assert "town, 200" not in shown
    assert '<th scope="col" class="number">rain</th>' in shown
    assert '<th scope="col">place</th>' in shown


def test_cells_are_text_and_short_rows_are_filled(portal: Rig, ada: Browser) -> None:
    shown = table_of(portal, ada, b"a,b,c\n<script>alert(1)</script>\n1,2,3,4\n\xff\x1b,2\n")
    assert "<script>" not in shown
    assert shown.count("<td") == 3 * 4
    assert "␛" in shown


def test_a_cell_beyond_all_measure_is_said_to_be_no_table(portal: Rig, ada: Browser) -> None:
    shown = text_of(table_of(portal, ada, b"a\n" + b"x" * 200_000 + b"\n"))
    assert "This can't be read as a table" in shown
    assert "Download it" in shown


def test_a_text_shows_its_beginning_then_more_and_says_how_much_there_is(portal: Rig, ada: Browser) -> None:
    text = b"".join(b"%07d\n" % n for n in range(50_000))
    job_id = done(portal, ada, PICTURE, Wrote("report", "report.txt", text, "text/plain"))
    first = ada.part(f"/jobs/{job_id}/outputs/report/part/view?path=report.txt").text
    assert "The first 16.0 KiB of 390.6 KiB." in text_of(first)
    assert "0002047" in first
    assert "0002048" not in first
    more = ada.part(f"/jobs/{job_id}/outputs/report/part/view?path=report.txt&whole=1").text
    assert "The first 256.0 KiB of 390.6 KiB." in text_of(more)
    assert "Download the file for the rest." in text_of(more)


def test_a_text_is_escaped_and_its_control_characters_are_signs(portal: Rig, ada: Browser) -> None:
    wrote = Wrote("report", "r.txt", b"<script>alert(1)</script>\x1b[31m\x00", "text/plain")
    job_id = done(portal, ada, PICTURE, wrote)
    shown = ada.part(f"/jobs/{job_id}/outputs/report/part/view?path=r.txt").text
    assert "<script>" not in shown
    assert "␛[31m␀" in shown


# --- files ------------------------------------------------------------------------------------------------------------
def test_a_range_of_a_file_is_sent_alone(portal: Rig, ada: Browser) -> None:
    job_id = done(portal, ada, PICTURE, Wrote("report", "r.txt", b"0123456789", "text/plain"))
    address = f"/jobs/{job_id}/outputs/report/file?path=r.txt"
    part = ada.get(address, headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content) == (206, b"234")
    assert part.headers["content-range"] == "bytes 2-4/10"
    assert ada.get(address, headers={"Range": "bytes=50-60"}).status_code == 416
    whole = ada.get(address)
    assert ada.get(address, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304


def test_all_outputs_come_as_one_zip_file(portal: Rig, ada: Browser) -> None:
    job_id = done(portal, ada, PICTURE, Wrote("report", "deep/r.txt", b"words", "text/plain"))
    answer = ada.get(f"/jobs/{job_id}/outputs.zip")
    assert answer.headers["content-disposition"] == f'attachment; filename="{job_id}.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert {one: archive.read(one) for one in archive.namelist()} == {
            "reflectivity.png": PNG,
            "deep/r.txt": b"words",
        }


def test_a_promised_output_that_is_missing_is_said_in_its_place(portal: Rig, ada: Browser) -> None:
    job_id = atlas_job(ada.person)
    ended(portal, job_id, [GEOJSON], state=JobState.FAILED, cause=Cause.STAGE_OUT_FAILED, evidence="no picture")
    shown = text_of(ada.get(f"/jobs/{job_id}").text)
    assert "The program promises this file and did not write it." in shown
    assert "The program may also write these, and did not: Summary" in shown


def test_a_program_that_never_ran_is_not_blamed_for_what_it_did_not_write(portal: Rig, ada: Browser) -> None:
    job_id = atlas_job(ada.person)
    reached(portal, job_id, JobState.SUBMITTING)
    portal.move(job_id, JobState.FAILED, cause=Cause.REJECTED, evidence="no such queue")
    shown = text_of(ada.get(f"/jobs/{job_id}").text)
    assert "promises" not in shown
    assert "There are none." in shown
    assert "Change and run again" in shown


def test_of_very_many_files_the_first_are_shown_and_the_others_named(portal: Rig, ada: Browser) -> None:
    many = [Wrote("report", f"r{n:03}.txt", b"%d" % n, "text/plain") for n in range(60)]
    job_id = done(portal, ada, PICTURE, *many)
    shown = ada.get(f"/jobs/{job_id}").text
    assert shown.count('class="output"') == 1 + 40
    assert "20 more files" in shown
    assert f"/jobs/{job_id}/outputs/report/file?path=r059.txt" in shown


def test_an_output_that_is_not_there_is_not_found(portal: Rig, ada: Browser) -> None:
    job_id = done(portal, ada, PICTURE)
    for path in ("nothing/file", "picture/file?path=../../etc/passwd", "picture/part/view", "nothing/part/view"):
        assert ada.get(f"/jobs/{job_id}/outputs/{path}").status_code == 404, path


def test_a_file_of_several_needs_its_path(portal: Rig, ada: Browser) -> None:
    two = [Wrote("report", f"r{n}.txt", b"x", "text/plain") for n in range(2)]
    job_id = done(portal, ada, PICTURE, *two)
    answer = ada.get(f"/jobs/{job_id}/outputs/report/file")
    assert answer.status_code == 422
    assert "say which by its path" in text_of(answer.text)
