"""Every page of the portal, and as whom it is looked at: for tests that go through all, and for screenshots."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum

from tests.browser.world import World


class Eyes(StrEnum):
    """Who looks: Ada has jobs, Bob has none, root is the administrator."""

    STRANGER = "stranger"
    ADA = "ada"
    BOB = "bob"
    ROOT = "root"


@dataclass(frozen=True, slots=True)
class Place:
    """One page as one person sees it; `{storms}` and the like in its path stand for what the world has of that name."""

    name: str
    path: str
    eyes: Eyes = Eyes.ADA
    status: int = 200

    def __str__(self) -> str:
        return self.name

    def path_in(self, world: World) -> str:
        return self.path.format(**asdict(world))


PLACES = (
    Place("sign-in", "/sign-in", Eyes.STRANGER),
    Place("home", "/"),
    Place("home-empty", "/", Eyes.BOB),
    Place("password", "/password"),
    Place("not-found", "/nothing-here", status=404),
    Place("applications", "/applications"),
    Place("applications-none-found", "/applications?text=zzz"),
    Place("form-storms", "/applications/storm-clustering"),
    Place("form-counting", "/applications/counting"),
    Place("resubmit", "/jobs/{weaker}/resubmit"),
    Place("jobs", "/jobs"),
    Place("jobs-empty", "/jobs", Eyes.BOB),
    Place("jobs-none-found", "/jobs?text=zzz"),
    Place("jobs-shared", "/jobs/shared", Eyes.BOB),
    Place("job-storms", "/jobs/{storms}"),
    Place("job-failed", "/jobs/{failed}"),
    Place("job-cancelled", "/jobs/{cancelled}"),
    Place("job-running", "/jobs/{running}"),
    Place("job-of-another", "/jobs/{storms}", Eyes.BOB),
    Place("sharing", "/jobs/{storms}/sharing"),
    Place("shared-link", "/shared/{link}", Eyes.STRANGER),
    Place("shared-ended", "/shared/nothing", Eyes.STRANGER, 404),
    Place("compare", "/compare?a={storms}&b={weaker}"),
    Place("clusters", "/clusters"),
    Place("account", "/account"),
    Place("notices", "/notices"),
    Place("notices-empty", "/notices", Eyes.BOB),
    Place("admin", "/admin", Eyes.ROOT),
    Place("admin-clusters", "/admin/clusters", Eyes.ROOT),
    Place("admin-applications", "/admin/applications", Eyes.ROOT),
    Place("admin-audit", "/admin/audit", Eyes.ROOT),
    Place("admin-jobs", "/admin/jobs", Eyes.ROOT),
    Place("admin-mail", "/admin/mail", Eyes.ROOT),
    Place("admin-projects", "/admin/projects", Eyes.ROOT),
    Place("admin-user", "/admin/users/ada", Eyes.ROOT),
    Place("admin-users", "/admin/users", Eyes.ROOT),
)

NO_PAGES = frozenset({"/live", "/shared/{link}/live", "/jobs/{job_id}/outputs.zip", "/shared/{link}/outputs.zip"})
"""Streams and downloads; fragments (`/part/`), files and pieces of logs are told by their paths."""
