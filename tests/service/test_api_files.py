"""Files over HTTP: uploads, ranges, inputs, outputs, logs."""

from __future__ import annotations

import hashlib
import io
import re
import socket
import zipfile
from pathlib import Path
from urllib.parse import unquote

import httpx
import pytest

from isthmus.api.responses.jobs import JobOut, Outputs
from isthmus.api.responses.people import FileList, FileOut
from isthmus.gateway import Stream
from isthmus.job import JobState
from tests.service.api_rig import Person, Rig, serving, until
from tests.service.test_api_jobs import HELLO, faults, submitted

CONTENT = bytes(range(256)) * 8


@pytest.fixture(scope="module")
def rig(rig_on_each_database: Rig) -> Rig:
    return rig_on_each_database


def uploaded(person: Person, content: bytes = CONTENT, name: str = "data.txt") -> str:
    answer = person.client.post("/files", params={"name": name}, content=content)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def kept(rig: Rig) -> int:
    """How many files the file store holds, half-written ones too."""
    return sum(path.is_file() and path.name != "gc.lock" for path in rig.files.root.rglob("*"))


# --- uploads ----------------------------------------------------------------
def test_an_upload_is_kept_as_it_was_sent(ada: Person) -> None:
    answer = ada.client.post("/files?name=scan.txt", content=CONTENT, headers={"Content-Type": "text/plain"})
    file = FileOut.model_validate(answer.json())
    assert answer.headers["location"] == f"/api/v1/files/{file.id}"
    assert (file.name, file.size, file.media_type) == ("scan.txt", len(CONTENT), "text/plain")
    assert file.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert ada.client.get(f"/files/{file.id}").json() == answer.json()
    assert ada.client.get(f"/files/{file.id}/content").content == CONTENT


def test_a_form_with_one_file_is_an_upload(ada: Person) -> None:
    form = {"file": ("C:\\tmp\\über scan.png", CONTENT, "image/png")}
    file = FileOut.model_validate(ada.client.post("/files", files=form).json())
    assert (file.name, file.media_type, file.size) == ("über scan.png", "image/png", len(CONTENT))
    assert ada.client.get(f"/files/{file.id}/content").content == CONTENT


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=" + "b" * 71, b"x"),
        ("multipart/form-data; boundary=b", b"no form at all"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\nvalue\r\n--b--\r\n',
        ),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; filename="x"\r\n\r\nunfinis'),
        ("multipart/form-data; boundary=b", b"--b--\r\n"),
    ],
)
def test_a_form_that_is_not_one_file_is_refused(rig: Rig, ada: Person, content_type: str, body: bytes) -> None:
    before = kept(rig)
    answer = ada.client.post("/files", content=body, headers={"Content-Type": content_type})
    assert (answer.status_code, faults(answer)) == (422, {"body": "bad_form"})
    assert kept(rig) == before


def test_an_empty_file_is_a_file(ada: Person) -> None:
    file_id = uploaded(ada, b"")
    empty = ada.client.get(f"/files/{file_id}/content")
    assert (empty.status_code, empty.content) == (200, b"")
    assert ada.client.get(f"/files/{file_id}/content", headers={"Range": "bytes=0-"}).status_code == 416


def test_a_file_that_is_too_large_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with serving(tmp_path, settings={"api": {"max_upload_mib": 1}}) as rig:
        ada = rig.person("ada")
        before = kept(rig)
        answer = ada.client.post("/files", content=b"x" * (1024 * 1024 + 1))
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        assert kept(rig) == before
        assert ada.client.get("/files").json()["files"] == []
        assert ada.client.post("/files", content=b"x" * 1024 * 1024).status_code == 201


def test_an_upload_that_breaks_off_leaves_nothing(rig: Rig, ada: Person) -> None:
    before = kept(rig)
    host, port = rig.address.removeprefix("http://").split(":")
    fields = f"Host: x\r\nAuthorization: Bearer {ada.token}\r\nContent-Length: 9999999\r\n"
    head = f"POST /api/v1/files HTTP/1.1\r\n{fields}\r\n"
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode() + b"x" * 3_000_000)
        until(lambda: kept(rig) > before, "the upload has begun")
    until(lambda: kept(rig) == before, "its remains are gone")
    assert ada.client.get("/files").json()["files"] == []


def test_uploads_are_listed_page_by_page_and_can_be_deleted(ada: Person) -> None:
    ids = [uploaded(ada, bytes([n])) for n in range(3)]
    first = FileList.model_validate(ada.client.get("/files?limit=2").json())
    assert [file.id for file in first.files] == ids[:0:-1]
    second = FileList.model_validate(ada.client.get("/files", params={"limit": 2, "before": first.next_before}).json())
    assert ([file.id for file in second.files], second.next_before) == (ids[:1], None)
    assert ada.client.delete(f"/files/{ids[0]}").status_code == 204
    assert ada.client.get(f"/files/{ids[0]}").status_code == 404


# --- ranges -----------------------------------------------------------------
@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("bytes=0-9", 0, 9), ("bytes=2040-", 2040, 2047), ("bytes=-5", 2043, 2047), ("bytes=2000-99999", 2000, 2047)],
)
def test_a_range_gives_those_bytes(ada: Person, asked: str, first: int, last: int) -> None:
    answer = ada.client.get(f"/files/{uploaded(ada)}/content", headers={"Range": asked})
    assert (answer.status_code, answer.content) == (206, CONTENT[first : last + 1])
    assert answer.headers["content-length"] == str(last + 1 - first)
    assert answer.headers["content-range"] == f"bytes {first}-{last}/2048"


@pytest.mark.parametrize("asked", ["bytes=5-2", "bytes=0-1,4-5", "bytes=x", "bytes=-", "lines=1-2"])
def test_a_range_of_another_form_gives_the_whole_file(ada: Person, asked: str) -> None:
    answer = ada.client.get(f"/files/{uploaded(ada)}/content", headers={"Range": asked})
    assert (answer.status_code, answer.content) == (200, CONTENT)


@pytest.mark.parametrize("asked", ["bytes=2048-", "bytes=99999-100000", "bytes=-0"])
def test_a_range_outside_the_file_is_refused_with_its_size(ada: Person, asked: str) -> None:
    answer = ada.client.get(f"/files/{uploaded(ada)}/content", headers={"Range": asked})
    assert (answer.status_code, answer.json()["code"]) == (416, "range_not_satisfiable")
    assert answer.headers["content-range"] == "bytes */2048"


def test_a_range_of_another_version_gives_the_whole_file(ada: Person) -> None:
    headers = {"Range": "bytes=0-1", "If-Range": '"another"'}
    assert ada.client.get(f"/files/{uploaded(ada)}/content", headers=headers).content == CONTENT


def test_a_file_the_caller_has_is_not_sent_again(ada: Person) -> None:
    path = f"/files/{uploaded(ada)}/content"
    etag = ada.client.get(path).headers["etag"]
    assert etag == f'"{hashlib.sha256(CONTENT).hexdigest()}"'
    assert ada.client.get(path, headers={"If-None-Match": etag}).status_code == 304


# --- files as inputs --------------------------------------------------------
def test_a_job_takes_an_upload_and_keeps_it_when_the_upload_is_deleted(rig: Rig, ada: Person) -> None:
    paper, note = uploaded(ada), uploaded(ada, b"note", "n.md")
    job_id = submitted(ada, files={"paper": paper, "notes": [note, paper]})
    ada.client.delete(f"/files/{paper}")
    job = JobOut.model_validate(ada.client.get(f"/jobs/{job_id}").json())
    assert [(file.name, file.size, file.upload) for file in job.files["notes"]] == [
        ("n.md", 4, note),
        ("data.txt", len(CONTENT), paper),
    ]
    assert job.files["paper"][0].sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert rig.files.path(job.files["paper"][0].sha256).read_bytes() == CONTENT


def test_a_job_takes_an_output_of_an_earlier_job(rig: Rig, ada: Person) -> None:
    earlier = submitted(ada)
    rig.run_to_end(earlier, {"said.txt": b"one", "deep/said2.txt": b"two"})
    everything = submitted(ada, files={"notes": {"job": earlier, "output": "said"}})
    files = JobOut.model_validate(ada.client.get(f"/jobs/{everything}").json()).files["notes"]
    assert [(file.name, file.job, file.output) for file in files] == [
        ("said.txt", earlier, "said.txt"),
        ("said2.txt", earlier, "deep/said2.txt"),
    ]
    one = {"job": earlier, "output": "said", "path": "deep/said2.txt"}
    assert ada.client.post("/jobs", json={**HELLO, "files": {"paper": one}}).status_code == 201
    none = ada.client.post("/jobs", json={**HELLO, "files": {"paper": {"job": earlier, "output": "sad"}}})
    assert (none.status_code, faults(none)) == (422, {"files.paper": "unknown_output"})
    assert "said" in none.json()["detail"]


def test_faults_of_files_name_the_input(ada: Person) -> None:
    wrong = ada.client.post("/jobs", json={**HELLO, "files": {"paper": uploaded(ada, name="scan.png")}})
    assert faults(wrong) == {"files.paper": "wrong_extension"}
    many = ada.client.post("/jobs", json={**HELLO, "files": {"paper": [uploaded(ada), uploaded(ada)]}})
    assert faults(many) == {"files.paper": "too_many"}
    large = ada.client.post("/jobs", json={**HELLO, "files": {"paper": uploaded(ada, b"x" * 1_100_000)}})
    assert faults(large) == {"files.paper": "too_large"}
    unknown = ada.client.post("/jobs", json={**HELLO, "files": {"pape": uploaded(ada)}})
    assert faults(unknown) == {"files.pape": "unknown_input"}


def test_another_users_upload_or_output_cannot_be_an_input(rig: Rig, ada: Person) -> None:
    bob = rig.person("bob")
    secret = submitted(bob)
    rig.run_to_end(secret, {"said.txt": b"secret"})
    for reference in (uploaded(bob), {"job": secret, "output": "said"}):
        answer = ada.client.post("/jobs", json={**HELLO, "files": {"paper": reference}})
        assert answer.status_code in (404, 422)
    assert ada.client.get("/jobs").json()["jobs"] == []


# --- outputs ----------------------------------------------------------------
def test_outputs_are_served_so_that_no_browser_runs_them(rig: Rig, ada: Person) -> None:
    job_id = submitted(ada)
    rig.run_to_end(job_id, {"said.txt": b"<script>alert(1)</script>"})
    listed = Outputs.model_validate(ada.client.get(f"/jobs/{job_id}/outputs").json()).outputs
    assert [(one.name, one.path, one.size) for one in listed] == [("said", "said.txt", 25)]
    answer = ada.client.get(f"/jobs/{job_id}/outputs/said")
    assert answer.content == b"<script>alert(1)</script>"
    assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"] == 'attachment; filename="said.txt"'
    assert answer.headers["etag"] == f'"{listed[0].sha256}"'


def test_one_of_several_files_of_an_output_is_named_by_its_path(rig: Rig, ada: Person) -> None:
    job_id = submitted(ada)
    rig.run_to_end(job_id, {"said.txt": b"one", "a/said\n.txt": b"two"})
    path = f"/jobs/{job_id}/outputs/said"
    assert faults(ada.client.get(path)) == {"query.path": "ambiguous"}
    assert ada.client.get(path, params={"path": "said.txt"}).content == b"one"
    assert ada.client.get(path, params={"path": "nowhere"}).status_code == 404
    assert ada.client.get(f"/jobs/{job_id}/outputs/other").status_code == 404


STRANGE = (
    "a/said\n.txt",
    "said\r\nSet-Cookie: session=stolen\r\n\r\n<script>",
    '"; filename="evil.exe',
    "\x1b[2J\x7f\u0085\u2028",
    "/".join(["deep" * 50] * 19) + "/" + "ü" * 120,
)


@pytest.mark.parametrize("path", STRANGE)
def test_a_file_of_any_name_is_sent_and_its_name_stays_in_its_header(rig: Rig, ada: Person, path: str) -> None:
    job_id = submitted(ada)
    rig.run_to_end(job_id, {path: b"strange", "other": b"one more"})
    answer = ada.client.get(f"/jobs/{job_id}/outputs/said", params={"path": path})
    assert (answer.status_code, answer.content) == (200, b"strange")
    assert "set-cookie" not in answer.headers
    plain, encoded = re.fullmatch(
        r'attachment; filename="([^"]*)"; filename\*=UTF-8\'\'([\w.%~-]*)', answer.headers["content-disposition"]
    ).groups()  # type: ignore[union-attr]  # None fails the test as well
    assert re.fullmatch(r"[A-Za-z0-9._ -]*", plain)
    assert unquote(encoded) == path.rpartition("/")[2]


def test_a_file_of_any_name_can_be_an_input(rig: Rig, ada: Person) -> None:
    earlier, path = submitted(ada), "deep/" * 100 + "sa\nid.txt"
    rig.run_to_end(earlier, {path: b"strange", "other.txt": b"one more"})
    one = {"job": earlier, "output": "said", "path": path}
    later = ada.client.post("/jobs", json={**HELLO, "files": {"paper": one}})
    assert (later.status_code, later.json()["files"]["paper"][0]["output"]) == (201, path)


@pytest.mark.parametrize("path", ["", "a\0b", "x" * 4097])
def test_a_path_that_no_file_can_have_is_refused(rig: Rig, ada: Person, path: str) -> None:
    job_id = submitted(ada)
    answer = ada.client.get(f"/jobs/{job_id}/outputs/said", params={"path": path})
    assert (answer.status_code, set(faults(answer))) == (422, {"query.path"})


def test_all_outputs_come_as_one_zip_file(rig: Rig, ada: Person) -> None:
    job_id = submitted(ada)
    large = CONTENT * 1000
    rig.run_to_end(job_id, {"said.txt": b"one", "deep/er/said.bin": large, "stdout": b"out\n"})
    answer = ada.client.get(f"/jobs/{job_id}/outputs.zip")
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == {
            "said.txt": b"one",
            "deep/er/said.bin": large,
            "stdout": b"out\n",
        }


# --- logs -------------------------------------------------------------------
def piece(answer: httpx.Response) -> tuple[bytes, int, int, bool]:
    assert answer.status_code == 200, answer.text
    head = answer.headers
    return answer.content, int(head["log-offset"]), int(head["log-next-offset"]), head["log-complete"] == "true"


def test_an_ended_jobs_log_is_read_in_pieces(rig: Rig, ada: Person) -> None:
    job_id = submitted(ada)
    rig.run_to_end(job_id, {"stdout": b"0123456789", "stderr": b""})
    log = f"/jobs/{job_id}/log/stdout"
    assert piece(ada.client.get(log)) == (b"0123456789", 0, 10, True)
    assert piece(ada.client.get(f"{log}?offset=2&limit=3")) == (b"234", 2, 5, False)
    assert piece(ada.client.get(f"{log}?offset=-4")) == (b"6789", 6, 10, True)
    assert piece(ada.client.get(f"{log}?offset=-400&limit=1")) == (b"0", 0, 1, False)
    assert piece(ada.client.get(f"{log}?offset=400")) == (b"", 400, 400, True)
    assert piece(ada.client.get(f"/jobs/{job_id}/log/stderr")) == (b"", 0, 0, True)


def test_reading_a_living_jobs_log_asks_for_it_to_be_followed(rig: Rig, ada: Person) -> None:
    job_id = submitted(ada)
    assert piece(ada.client.get(f"/jobs/{job_id}/log/stdout")) == (b"", 0, 0, False)
    rig.start(job_id)
    assert [wish.job_id for wish in rig.store.wishes("local", 0) if wish.job_id == job_id] == [job_id]
    folder = rig.configuration.home / "logs" / job_id / "1"
    folder.mkdir(parents=True)
    (folder / Stream.STDOUT).write_bytes(b"step 1\n")
    log = f"/jobs/{job_id}/log/stdout"
    assert piece(ada.client.get(log)) == (b"step 1\n", 0, 7, False)
    (folder / Stream.STDOUT).write_bytes(b"st")
    assert piece(ada.client.get(f"{log}?offset=7")) == (b"", 7, 7, False), "the copy was begun anew"
    (folder / Stream.STDOUT).unlink()
    assert piece(ada.client.get(f"{log}?offset=7")) == (b"", 7, 7, False), "the copy was dropped"


def test_a_deleted_jobs_logs_are_gone_at_once_with_the_followed_copy(rig: Rig, ada: Person) -> None:
    job_id = submitted(ada)
    rig.run_to_end(job_id, {"said.txt": b"x"})
    folder = rig.configuration.home / "logs" / job_id
    (folder / "1").mkdir(parents=True)
    (folder / "1" / Stream.STDOUT).write_bytes(b"step 1\n")
    assert piece(ada.client.get(f"/jobs/{job_id}/log/stdout"))[0] == b"step 1\n"
    assert ada.client.delete(f"/jobs/{job_id}").status_code == 204
    for gone in ("log/stdout", "log/stderr", "outputs/said", "outputs.zip"):
        answer = ada.client.get(f"/jobs/{job_id}/{gone}")
        assert (answer.status_code, answer.json()["detail"]) == (404, "the job was deleted, and its files with it")
    assert not folder.exists()


@pytest.mark.parametrize("query", ["limit=0", "limit=1048577", "offset=x", f"offset={10**30}"])
def test_a_piece_that_cannot_be_is_refused(ada: Person, query: str) -> None:
    job_id = submitted(ada)
    assert ada.client.get(f"/jobs/{job_id}/log/stdout?{query}").status_code == 422
    assert ada.client.get(f"/jobs/{job_id}/log/stdin").status_code == 404


def test_a_job_that_never_ran_has_a_complete_empty_log(rig: Rig, ada: Person) -> None:
    job_id = submitted(ada)
    rig.withdraw(job_id)
    assert ada.client.get(f"/jobs/{job_id}").json()["state"] == JobState.CANCELLED
    assert piece(ada.client.get(f"/jobs/{job_id}/log/stdout")) == (b"", 0, 0, True)
