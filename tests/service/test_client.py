"""The Python client against a whole gateway: its API, its controller, its local engine."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from isthmus.client import AsyncClient, Client, Job, JobQuery, OutputOf
from isthmus.client.calls import get
from isthmus.client.login import HOME_TOKEN, Login, read_login
from isthmus.errors import Conflict, InvalidInput, NotFound, NotSignedIn
from isthmus.job import Cause, JobState
from tests.service.gateway_process import DEADLINE_S, GatewayProcess, serving


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with serving(tmp_path_factory.mktemp("client")) as running:
        yield running


@pytest.fixture(scope="module")
def login(process: GatewayProcess) -> Login:
    kept = read_login(process.home / HOME_TOKEN)
    assert kept is not None
    return kept


@pytest.fixture
def gateway(login: Login) -> Iterator[Client]:
    with Client(login.url, login.token) as client:
        yield client


@pytest.fixture(scope="module")
def completed(login: Login, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    """A job that has run, with a file."""
    extra = tmp_path_factory.mktemp("extra") / "extra.txt"
    extra.write_text("the extra file\n", encoding="utf-8")
    with Client(login.url, login.token) as client:
        job = client.submit("counting", upto=2, extra=extra, job_name="first", labels=["demo"])
        yield job.wait(DEADLINE_S)


# --- the way of a job ---------------------------------------------------------------------------------------
def test_a_submitted_job_completes_and_every_state_is_told(gateway: Client) -> None:
    told: list[JobState] = []
    job = gateway.submit("counting", upto=1)
    assert job.wait(DEADLINE_S, lambda changed: told.append(changed.state)) is job
    assert (job.state, job.cause, job.exit_code) == (JobState.COMPLETED, Cause.EXIT_ZERO, 0)
    assert told[-1] is JobState.COMPLETED
    assert sorted(set(told), key=told.index) == [state for state in JobState if state in told], "in the order of a life"


def test_a_failed_job_says_why(gateway: Client) -> None:
    job = gateway.submit("counting", code=7).wait(DEADLINE_S)
    assert (job.state, job.cause, job.exit_code) == (JobState.FAILED, Cause.EXIT_NONZERO, 7)
    assert any("7" in sentence for sentence in job.why())


def test_a_cancelled_job_is_cancelled_once_that_is_proved(gateway: Client) -> None:
    job = gateway.submit("counting", linger_s=600).cancel()
    assert job.record.cancel_requested_at is not None
    assert job.wait(DEADLINE_S).state is JobState.CANCELLED


def test_a_wait_ends_when_its_time_is_up(gateway: Client) -> None:
    job = gateway.submit("counting", linger_s=600)
    with pytest.raises(TimeoutError, match=job.id):
        job.wait(0.3)
    job.cancel()


def test_waiting_for_an_ended_job_returns_at_once(completed: Job) -> None:
    assert completed.wait(0).state is JobState.COMPLETED


# --- files, logs, outputs -----------------------------------------------------------------------------------
def test_outputs_are_downloaded_below_the_folder(completed: Job, tmp_path: Path) -> None:
    paths = completed.download(tmp_path / "new")
    assert sorted(str(path.relative_to(tmp_path / "new")) for path in paths) == [
        "copies/extra.txt",
        "counted.txt",
        "stderr",
        "stdout",
    ]
    assert (tmp_path / "new/copies/extra.txt").read_text() == "the extra file\n"
    assert sorted(path.name for path in (tmp_path / "new").iterdir() if path.name.startswith(".")) == []


def test_only_the_named_outputs_are_downloaded(completed: Job, tmp_path: Path) -> None:
    assert completed.download(tmp_path, "counted") == (tmp_path / "counted.txt",)


def test_an_output_that_is_not_there_is_named_with_those_that_are(completed: Job, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no output nonsense; its outputs: copy, counted, stderr, stdout"):
        completed.download(tmp_path, "nonsense")


def test_a_log_is_read_to_its_end(completed: Job) -> None:
    assert "".join(completed.log()) == "step 1\nstep 2\n"
    assert "".join(completed.log("stderr")) == "to stderr\n"


def test_a_followed_log_ends_with_the_program(gateway: Client) -> None:
    job = gateway.submit("counting", upto=2, linger_s=1)
    pieces = job.log(follow=True)
    assert "".join(pieces) == "step 1\nstep 2\n"
    assert job.wait(DEADLINE_S).state is JobState.COMPLETED


def test_an_open_file_is_uploaded(gateway: Client, tmp_path: Path) -> None:
    job = gateway.submit("counting", extra=io.BytesIO(b"from memory")).wait(DEADLINE_S)
    job.download(tmp_path, "copy")
    assert (tmp_path / "copies/extra.txt").read_bytes() == b"from memory"


def test_an_upload_serves_any_number_of_jobs(gateway: Client, tmp_path: Path) -> None:
    (tmp_path / "once.txt").write_bytes(b"once")
    kept = gateway.upload(tmp_path / "once.txt")
    assert (kept.name, kept.size) == ("once.txt", 4)
    jobs = [gateway.submit("counting", extra=kept) for _ in range(2)]
    assert [job.record.files["extra"] for job in jobs] == [jobs[0].record.files["extra"]] * 2


def test_an_earlier_job_s_output_can_be_an_input(gateway: Client, completed: Job, tmp_path: Path) -> None:
    job = gateway.submit("counting", extra=OutputOf(completed.id, "counted")).wait(DEADLINE_S)
    job.download(tmp_path, "copy")
    assert (tmp_path / "copies/extra.txt").read_text() == "counted to 2 1\n"


def test_a_file_that_cannot_be_read_is_told_before_anything_is_sent(gateway: Client, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as refused:
        gateway.submit("counting", extra=tmp_path / "none.txt")
    assert refused.value.faults[0].field == "files.extra"


def test_a_file_open_as_text_is_refused(gateway: Client) -> None:
    with pytest.raises(InvalidInput, match="mode 'rb'"):
        gateway.submit("counting", extra=io.StringIO("text"))


# --- changing and comparing ---------------------------------------------------------------------------------
def test_a_resubmitted_job_differs_in_what_was_changed_only(completed: Job) -> None:
    child = completed.resubmit(upto=1, unset=["word"], job_name="second")
    assert child.parent == completed.id
    assert [(change.field, change.a, change.b) for change in completed.diff(child)] == [("inputs.upto", 2, 1)]


def test_an_input_whose_name_is_taken_is_given_in_inputs(gateway: Client) -> None:
    assert gateway.submit("counting", inputs={"name": "Bob"}).inputs["name"] == "Bob"


def test_the_same_key_gives_the_same_job(gateway: Client) -> None:
    first = gateway.submit("counting", upto=1, key="today")
    assert gateway.submit("counting", upto=1, key="today") == first
    with pytest.raises(Conflict):
        gateway.submit("counting", upto=2, key="today")


def test_all_that_is_wrong_with_the_inputs_is_told_by_field(gateway: Client) -> None:
    with pytest.raises(InvalidInput) as refused:
        gateway.submit("counting", upto=1000, factor="x", unheard_of=1)
    assert [fault.field for fault in refused.value.faults] == ["inputs.factor", "inputs.unheard_of", "inputs.upto"]
    assert refused.value.code == "invalid_input"


# --- finding ------------------------------------------------------------------------------------------------
def test_all_jobs_are_found_page_by_page(gateway: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {gateway.submit("counting", upto=0, labels=["paged"]).id for _ in range(5)}
    monkeypatch.setattr("isthmus.client.flows.PAGE", 2)
    found = [job.id for job in gateway.jobs(label="paged")]
    assert found == sorted(wanted, reverse=True)
    assert [job.id for job in gateway.jobs(label="paged", limit=3)] == found[:3]
    assert list(gateway.jobs(label="paged", limit=0)) == []


def test_a_query_has_filters_and_an_order(gateway: Client, completed: Job) -> None:
    query = JobQuery(states=(JobState.COMPLETED,), text="first", label="demo", sort="name", descending=False)
    assert [job.id for job in gateway.find(query)] == [completed.id]


def test_applications_are_listed_and_shown_with_their_inputs(gateway: Client) -> None:
    assert "counting" in [application.name for application in gateway.applications()]
    shown = gateway.application("counting")
    assert shown.inputs[0].name == "upto"
    assert [found.type for found in shown.inputs if found.name in ("tags", "extra")] == ["array", "file"]


def test_what_has_no_method_can_be_asked_for_all_the_same(gateway: Client) -> None:
    assert gateway.request(get("me"))["name"] == "admin"


# --- refusals -----------------------------------------------------------------------------------------------
def test_a_job_that_is_not_there_is_not_found(gateway: Client) -> None:
    with pytest.raises(NotFound):
        gateway.job("0" * 20)


def test_without_a_token_nothing_is_sent(login: Login, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ISTHMUS_TOKEN", "ISTHMUS_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with Client(login.url) as nobody, pytest.raises(NotSignedIn, match="isthmus login"):
        nobody.applications()


def test_a_wrong_token_is_not_signed_in(login: Login) -> None:
    with Client(login.url, "isthmus_" + "x" * 43) as stranger, pytest.raises(NotSignedIn):
        stranger.applications()


# --- in a notebook, in an event loop ------------------------------------------------------------------------
def test_a_notebook_shows_a_job_as_a_table_with_every_value_escaped(gateway: Client) -> None:
    page = gateway.submit("counting", word="<b>&", job_name="<script>")._repr_html_()
    assert page.startswith("<table>")
    assert "&lt;script&gt;" in page
    assert "&lt;b&gt;&amp;" in page
    assert "<script>" not in page


def test_the_asynchronous_client_does_the_same(login: Login, tmp_path: Path) -> None:
    (tmp_path / "extra.txt").write_bytes(b"async")

    async def story() -> list[str]:
        told: list[JobState] = []
        async with AsyncClient(login.url, login.token) as gateway:
            jobs = [
                await gateway.submit("counting", upto=n, extra=tmp_path / "extra.txt", labels=["async"])
                for n in (1, 2, 3)
            ]
            await asyncio.gather(*(job.wait(DEADLINE_S, lambda changed: told.append(changed.state)) for job in jobs))
            paths = await jobs[0].download(tmp_path / "out", "copy")
            said = ["".join([piece async for piece in job.log(follow=True)]) for job in jobs]
            found = {job.id async for job in gateway.jobs(label="async")}
            child = await jobs[0].resubmit(upto=0)
            changes = await jobs[0].diff(child)
            assert (await child.cancel()).parent == jobs[0].id
            with pytest.raises(NotFound):
                await gateway.job("0" * 20)
            assert found == {job.id for job in jobs}
            assert paths[0].read_bytes() == b"async"
            assert [change.field for change in changes] == ["inputs.upto"]
            assert told.count(JobState.COMPLETED) == 3
            return said

    assert asyncio.run(story()) == ["step 1\n", "step 1\nstep 2\n", "step 1\nstep 2\nstep 3\n"]


def test_a_cancelled_wait_lets_go_of_its_stream(login: Login) -> None:
    async def story() -> None:
        async with AsyncClient(login.url, login.token) as gateway:
            job = await gateway.submit("counting", linger_s=600)
            waiting = asyncio.create_task(job.wait())
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert (await (await job.cancel()).wait(DEADLINE_S)).state is JobState.CANCELLED

    asyncio.run(story())


# --- a connection that breaks -------------------------------------------------------------------------------
class LosesAnswers(httpx.BaseTransport):
    """A network that carries each request to the gateway and loses the first answers."""

    def __init__(self, losses: int) -> None:
        self.losses = losses
        self.requests: list[httpx.Request] = []
        self._net = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        response = self._net.handle_request(request)
        if len(self.requests) <= self.losses:
            response.read()
            raise httpx.RemoteProtocolError("the answer was lost", request=request)
        return response

    def close(self) -> None:
        self._net.close()


def test_a_submission_whose_answer_was_lost_is_one_job(login: Login) -> None:
    net = LosesAnswers(losses=2)
    with Client(login.url, login.token, transport=net) as gateway:
        job = gateway.submit("counting", upto=0, labels=["lost-answer"])
        assert len({request.headers["Idempotency-Key"] for request in net.requests}) == 1
        assert len(net.requests) == 3
        assert [found.id for found in gateway.jobs(label="lost-answer")] == [job.id]
