"""Sharing jobs from Python."""

from __future__ import annotations

import asyncio

import pytest

from isthmus.client import AsyncClient, Client
from isthmus.errors import InvalidInput, NotFound
from tests.service.api_rig import Person, Rig
from tests.service.test_api_jobs import submitted


def test_a_shared_job_is_found_and_read_by_the_other(rig: Rig, ada: Person) -> None:
    bob = rig.person("bob")
    jobs = [submitted(ada) for _ in range(101)]  # a page has 100
    with Client(rig.address, ada.token) as hers, Client(rig.address, bob.token) as his:
        for job_id in jobs:
            made = hers.job(job_id).share(bob.name)
        assert (made.kind, made.name, made.by, made.link) == ("user", bob.name, ada.name, None)
        assert [job.id for job in his.shared()] == jobs[::-1]
        job = hers.job(jobs[-1])
        assert [one.id for one in job.shares()] == [made.id]
        job.unshare(made)
        assert job.shares() == ()
        with pytest.raises(NotFound):
            his.job(jobs[-1])
        with pytest.raises(InvalidInput) as refused:
            job.share("nobody-at-all")
        assert refused.value.faults[0].field == "user"


def test_the_asynchronous_client_shares_as_well(rig: Rig, ada: Person) -> None:
    bob, job_id = rig.person("bob"), submitted(ada)

    async def story() -> None:
        async with AsyncClient(rig.address, ada.token) as hers, AsyncClient(rig.address, bob.token) as his:
            job = await hers.job(job_id)
            made = await job.share(link=True, days=3)
            assert made.link and made.expires_at and (made.expires_at - made.created_at).days == 3
            other = await job.share(bob.name)
            assert [found.id async for found in his.shared()] == [job_id]
            for one in (made.id, other):
                await job.unshare(one)
            assert await job.shares() == ()

    asyncio.run(story())
