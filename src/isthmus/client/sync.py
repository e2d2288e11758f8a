"""The synchronous client: each method names a flow and has the driver perform it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, TypeVar

import httpx

from isthmus.client import calls, flows
from isthmus.client.call import Call, Flow, ask
from isthmus.client.driver import Driver
from isthmus.client.jobview import JobView
from isthmus.client.login import find_login
from isthmus.client.query import JobQuery
from isthmus.client.records import ApplicationRecord, ApplicationSummary, Change, JobRecord, ShareRecord, UploadRecord
from isthmus.job import JobState

T = TypeVar("T")


class Client:
    """A gateway, for the user whose token it holds; use it in a `with` block or close it.

    Without arguments: ISTHMUS_URL and ISTHMUS_TOKEN, then what `isthmus login` keeps, then the gateway of this machine.
    Every method may raise `NotSignedIn`, `NoConnection` and what else its own description says.
    """

    def __init__(
        self, url: str | None = None, token: str | None = None, *, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._driver = Driver(find_login(url, token), transport)

    @property
    def url(self) -> str:
        return self._driver.login.url

    def close(self) -> None:
        self._driver.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, flow: Flow[T]) -> T:
        return self._driver.run(flow)

    def request(self, call: Call[T]) -> T:
        """The answer to a request that has no method here; `calls.get` and `calls.send` make one."""
        return self.run(ask(call))

    def submit(
        self,
        application: str,
        *,
        cluster: str | None = None,
        version: str | None = None,
        job_name: str | None = None,
        labels: Sequence[str] | None = None,
        resources: Mapping[str, object] | None = None,
        notices: str | None = None,
        project: str | None = None,
        key: str | None = None,
        inputs: Mapping[str, object] | None = None,
        **values: object,
    ) -> Job:
        """The job is accepted and durable. InvalidInput: its `faults` name the fields.

        Inputs are keyword arguments, or stand in `inputs` where a name is taken. A `Path` or a file open for reading
        bytes is uploaded; an `UploadRecord` or an `OutputOf` is a file that the gateway has. With the same `key`, the
        same request gives the same job, also from another process. `notices` are the letters of what you are told of,
        `b` began, `e` ended, `a` aborted; None: as you chose for all your jobs. `project` is one that you are in.
        """
        wanted = flows.Wanted(cluster, version, job_name, labels, resources or {}, notices, project)
        return Job(self, self.run(flows.submit(application, {**(inputs or {}), **values}, wanted, key)))

    def job(self, job_id: str) -> Job:
        """The job as it is now. NotFound: there is none of this id, or it is another user's."""
        return Job(self, self.request(calls.job(job_id)))

    def jobs(
        self,
        *,
        states: Sequence[JobState] = (),
        application: str | None = None,
        cluster: str | None = None,
        text: str | None = None,
        label: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Job]:
        """Your jobs, newest first, read page by page as you go on."""
        return self.find(JobQuery(tuple(states), application, cluster, text, label), limit)

    def find(self, query: JobQuery, limit: int | None = None) -> Iterator[Job]:
        """The jobs that the query finds, in its order; at most `limit`."""
        pages = flows.JobPages(query, limit)
        while page := self.run(pages.next()):
            yield from (Job(self, record) for record in page)

    def shared(self) -> Iterator[Job]:
        """Jobs that others show to you, the newest share first; they can be read, and nothing else."""
        pages = flows.SharedPages()
        while page := self.run(pages.next()):
            yield from (Job(self, record) for record in page)

    def upload(self, source: Path | BinaryIO, name: str | None = None) -> UploadRecord:
        """The file is on the gateway, for any number of jobs."""
        return self.run(flows.upload(source, name))

    def applications(self) -> tuple[ApplicationSummary, ...]:
        """All applications, without their inputs; `application` has those."""
        return self.request(calls.applications())

    def application(self, name: str, version: str | None = None) -> ApplicationRecord:
        """One application with its inputs; the newest version unless one is given. NotFound: there is none."""
        return self.request(calls.application(name, version))


class Job(JobView):
    """One job. What it shows is as last read: `refresh` and `wait` read it again."""

    def __init__(self, client: Client, record: JobRecord) -> None:
        super().__init__(record)
        self._client = client

    def refresh(self) -> Job:
        """The job as it is now; the same object."""
        self.record = self._client.request(calls.job(self.id))
        return self

    def wait(self, timeout_s: float | None = None, on_change: Callable[[Job], None] | None = None) -> Job:
        """The job is final; the same object. TimeoutError: it isn't after `timeout_s`.

        `on_change` is called with the job whenever it has changed. A gateway that is away for up to two minutes, e.g.
        for its restart, is waited for.
        """

        def hear(record: JobRecord) -> None:
            self.record = record
            if on_change:
                on_change(self)

        until = None if timeout_s is None else time.monotonic() + timeout_s
        self.record = self._client.run(flows.wait(self.record, until, hear))
        return self

    def cancel(self) -> Job:
        """Its cancelling is asked for; it is CANCELLED once that is proved, so `wait` for it. One that had ended stays
        as it ended: its `state` says so at once.
        """
        self._client.request(calls.cancel(self.id))
        return self.refresh()

    def resubmit(
        self,
        *,
        unset: Sequence[str] = (),
        cluster: str | None = None,
        version: str | None = None,
        job_name: str | None = None,
        labels: Sequence[str] | None = None,
        resources: Mapping[str, object] | None = None,
        notices: str | None = None,
        key: str | None = None,
        inputs: Mapping[str, object] | None = None,
        **values: object,
    ) -> Job:
        """A new job is accepted: this one's inputs, version, cluster and resources, with what is given here changed."""
        wanted = flows.Wanted(cluster, version, job_name, labels, resources or {}, notices)
        flow = flows.resubmit(self.id, {**(inputs or {}), **values}, unset, wanted, key)
        return Job(self._client, self._client.run(flow))

    def share(
        self, user: str | None = None, *, project: str | None = None, link: bool = False, days: int | None = None
    ) -> ShareRecord:
        """A user, a project you are in, or whoever has the link may read the job, for so many days if said."""
        body = flows.share_body(user, project, link, days)
        return self._client.request(calls.share(self.id, body))

    def shares(self) -> tuple[ShareRecord, ...]:
        """Whom the job is shown to now."""
        return self._client.request(calls.shares(self.id))

    def unshare(self, share: ShareRecord | str) -> None:
        """The share shows the job to nobody any more. NotFound: the job has no such share."""
        self._client.request(calls.unshare(self.id, share if isinstance(share, str) else share.id))

    def diff(self, other: Job | str) -> tuple[Change, ...]:
        """What the two were asked differently; this job's is `a`."""
        return self._client.request(calls.diff(self.id, other if isinstance(other, str) else other.id))

    def why(self) -> tuple[str, ...]:
        """Sentences that say why it waits, or why it ended as it did."""
        return self._client.request(calls.why(self.id))

    def script(self) -> str:
        """What runs on the cluster, as text."""
        return self._client.request(calls.script(self.id))

    def log(self, stream: str = "stdout", *, follow: bool = False) -> Iterator[str]:
        """What the program wrote to `stdout` or `stderr`, piece by piece; with `follow`, until it has ended."""
        reader = flows.LogReader(self.id, stream, follow=follow)
        while (text := self._client.run(reader.next())) is not None:
            yield text

    def download(self, folder: Path | str = ".", *names: str, overwrite: bool = False) -> tuple[Path, ...]:
        """The outputs (of these names; else all) are files below the folder. NotFound: no output has such a name.

        Conflict, unless `overwrite`: a file of other content is in the way, which it names; then none is fetched.
        """
        return self._client.run(flows.download(self.id, Path(folder), names, overwrite))
