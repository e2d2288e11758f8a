"""The asynchronous client: as `sync`, method by method, awaited."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, TypeVar

import httpx

from isthmus.client import calls, flows
from isthmus.client.call import Call, Flow, ask
from isthmus.client.driver import AsyncDriver
from isthmus.client.jobview import JobView
from isthmus.client.login import find_login
from isthmus.client.query import JobQuery
from isthmus.client.records import ApplicationRecord, ApplicationSummary, Change, JobRecord, ShareRecord, UploadRecord
from isthmus.job import JobState

T = TypeVar("T")


class AsyncClient:
    """As `Client`, for an event loop: use it in an `async with` block or await `close`."""

    def __init__(
        self, url: str | None = None, token: str | None = None, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._driver = AsyncDriver(find_login(url, token), transport)

    @property
    def url(self) -> str:
        return self._driver.login.url

    async def close(self) -> None:
        await self._driver.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def run(self, flow: Flow[T]) -> T:
        return await self._driver.run(flow)

    async def request(self, call: Call[T]) -> T:
        """As `Client.request`."""
        return await self.run(ask(call))

    async def submit(
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
    ) -> AsyncJob:
        """As `Client.submit`."""
        wanted = flows.Wanted(cluster, version, job_name, labels, resources or {}, notices, project)
        return AsyncJob(self, await self.run(flows.submit(application, {**(inputs or {}), **values}, wanted, key)))

    async def job(self, job_id: str) -> AsyncJob:
        """As `Client.job`."""
        return AsyncJob(self, await self.request(calls.job(job_id)))

    def jobs(
        self,
        *,
        states: Sequence[JobState] = (),
        application: str | None = None,
        cluster: str | None = None,
        text: str | None = None,
        label: str | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[AsyncJob]:
        """As `Client.jobs`."""
        return self.find(JobQuery(tuple(states), application, cluster, text, label), limit)

    async def find(self, query: JobQuery, limit: int | None = None) -> AsyncIterator[AsyncJob]:
        """As `Client.find`."""
        pages = flows.JobPages(query, limit)
        while page := await self.run(pages.next()):
            for record in page:
                yield AsyncJob(self, record)

    async def shared(self) -> AsyncIterator[AsyncJob]:
        """As `Client.shared`."""
        pages = flows.SharedPages()
        while page := await self.run(pages.next()):
            for record in page:
                yield AsyncJob(self, record)

    async def upload(self, source: Path | BinaryIO, name: str | None = None) -> UploadRecord:
        """As `Client.upload`."""
        return await self.run(flows.upload(source, name))

    async def applications(self) -> tuple[ApplicationSummary, ...]:
        """As `Client.applications`."""
        return await self.request(calls.applications())

    async def application(self, name: str, version: str | None = None) -> ApplicationRecord:
        """As `Client.application`."""
        return await self.request(calls.application(name, version))


class AsyncJob(JobView):
    """As `Job`, awaited."""

    def __init__(self, client: AsyncClient, record: JobRecord) -> None:
        super().__init__(record)
        self._client = client

    async def refresh(self) -> AsyncJob:
        """As `Job.refresh`."""
        self.record = await self._client.request(calls.job(self.id))
        return self

    async def wait(
        self, timeout_s: float | None = None, on_change: Callable[[AsyncJob], None] | None = None
    ) -> AsyncJob:
        """As `Job.wait`."""

        def hear(record: JobRecord) -> None:
            self.record = record
            if on_change:
                on_change(self)

        until = None if timeout_s is None else time.monotonic() + timeout_s
        self.record = await self._client.run(flows.wait(self.record, until, hear))
        return self

    async def cancel(self) -> AsyncJob:
        """As `Job.cancel`."""
        await self._client.request(calls.cancel(self.id))
        return await self.refresh()

    async def resubmit(
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
    ) -> AsyncJob:
        """As `Job.resubmit`."""
        wanted = flows.Wanted(cluster, version, job_name, labels, resources or {}, notices)
        flow = flows.resubmit(self.id, {**(inputs or {}), **values}, unset, wanted, key)
        return AsyncJob(self._client, await self._client.run(flow))

    async def share(
        self, user: str | None = None, *, project: str | None = None, link: bool = False, days: int | None = None
    ) -> ShareRecord:
        """As `Job.share`."""
        body = flows.share_body(user, project, link, days)
        return await self._client.request(calls.share(self.id, body))

    async def shares(self) -> tuple[ShareRecord, ...]:
        """As `Job.shares`."""
        return await self._client.request(calls.shares(self.id))

    async def unshare(self, share: ShareRecord | str) -> None:
        """As `Job.unshare`."""
        await self._client.request(calls.unshare(self.id, share if isinstance(share, str) else share.id))

    async def diff(self, other: AsyncJob | str) -> tuple[Change, ...]:
        """As `Job.diff`."""
        return await self._client.request(calls.diff(self.id, other if isinstance(other, str) else other.id))

    async def why(self) -> tuple[str, ...]:
        """As `Job.why`."""
        return await self._client.request(calls.why(self.id))

    async def script(self) -> str:
        """As `Job.script`."""
        return await self._client.request(calls.script(self.id))

    async def log(self, stream: str = "stdout", *, follow: bool = False) -> AsyncIterator[str]:
        """As `Job.log`."""
        reader = flows.LogReader(self.id, stream, follow=follow)
        while (text := await self._client.run(reader.next())) is not None:
            yield text

    async def download(self, folder: Path | str = ".", *names: str, overwrite: bool = False) -> tuple[Path, ...]:
        """As `Job.download`."""
        return await self._client.run(flows.download(self.id, Path(folder), names, overwrite))
