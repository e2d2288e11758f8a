"""Isthmus from Python: `Client`, and `AsyncClient` for event loops.

    with Client() as gateway:
        job = gateway.submit("storm-clustering", threshold_dbz=45, radar=Path("scan.nexrad"))
        print(job.wait().state, job.download("results"))

`flows` says once, for both, what is done; `driver` performs it.
"""

from isthmus.client.asynchronous import AsyncClient, AsyncJob
from isthmus.client.faults import NoConnection
from isthmus.client.flows import OutputOf
from isthmus.client.query import JobQuery
from isthmus.client.records import (
    ApplicationRecord,
    ApplicationSummary,
    AttemptRecord,
    Change,
    InputRecord,
    JobRecord,
    OutputRecord,
    ShareRecord,
    UploadRecord,
)
from isthmus.client.sync import Client, Job

__all__ = [
    "ApplicationRecord",
    "ApplicationSummary",
    "AsyncClient",
    "AsyncJob",
    "AttemptRecord",
    "Change",
    "Client",
    "InputRecord",
    "Job",
    "JobQuery",
    "JobRecord",
    "NoConnection",
    "OutputOf",
    "OutputRecord",
    "ShareRecord",
    "UploadRecord",
]
