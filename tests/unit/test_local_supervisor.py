"""Parts of the local supervisor that need no process: what it shows a program, its groups, its record, its imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import isthmus
from isthmus.cluster.attempts import StagedOrder
from isthmus.cluster.supervisor.accounting import Accounting, Deed, Entry, started_in_other_boots
from isthmus.cluster.supervisor.cgroup import MemoryGroups
from isthmus.cluster.supervisor.sandbox import BUBBLEWRAP, Sandbox
from isthmus.cluster.supervisor.settings import LocalSettings
from isthmus.cluster.supervisor.slots import Allotment, Need
from isthmus.cluster.tail import EventsTail
from isthmus.job import Resources

ORDER = StagedOrder("gtag", "job", Resources(), network=False, isolation=BUBBLEWRAP, inputs={})
HERE = Allotment(Need(1, 0, 0), 0)


def argv_of(sandbox: Sandbox, order: StagedOrder = ORDER) -> list[str]:
    return sandbox.launcher(Path("/opt/gateway/clusters/local/attempts/gtag"), order, HERE)


def place_of(argv: list[str], option: str, path: str) -> int:
    return next(n for n in range(len(argv)) if argv[n] == option and path in argv[n + 1 : n + 3])


def test_a_gateway_below_a_shown_folder_is_hidden_and_what_is_readable_below_it_is_shown() -> None:
    argv = argv_of(Sandbox(BUBBLEWRAP, Path("/opt/gateway"), ("/opt/gateway/environments", "/srv/tools")))
    shown, hidden = place_of(argv, "--ro-bind-try", "/opt"), place_of(argv, "--tmpfs", "/opt/gateway")
    inside = place_of(argv, "--ro-bind-try", "/opt/gateway/environments")
    own = place_of(argv, "--bind", "/opt/gateway/clusters/local/attempts/gtag/work")
    assert shown < hidden < inside < own
    assert place_of(argv, "--ro-bind-try", "/srv/tools") < hidden


def test_a_gateway_below_a_readable_folder_is_hidden_too() -> None:
    argv = argv_of(Sandbox(BUBBLEWRAP, Path("/srv/gateway"), ("/srv",)))
    assert place_of(argv, "--ro-bind-try", "/srv") < place_of(argv, "--tmpfs", "/srv/gateway")


def test_inputs_that_were_copied_before_isolation_worked_are_shown_all_the_same() -> None:
    copied = StagedOrder("gtag", "job", Resources(), network=False, isolation="none", inputs={})
    inputs = "/opt/gateway/clusters/local/attempts/gtag/inputs"
    assert place_of(argv_of(Sandbox(BUBBLEWRAP, Path("/opt/gateway")), copied), "--ro-bind", inputs)


def test_the_network_is_shut_off_unless_the_order_has_it() -> None:
    sandbox = Sandbox(BUBBLEWRAP, Path("/home/gateway"))
    online = StagedOrder("gtag", "job", Resources(), network=True, isolation=BUBBLEWRAP, inputs={})
    assert "--unshare-net" in argv_of(sandbox) and "--unshare-net" not in argv_of(sandbox, online)


def test_a_memory_limit_leaves_no_way_out_to_swap(tmp_path: Path) -> None:
    first = MemoryGroups(tmp_path, (("memory.limit_in_bytes", 1), ("memory.memsw.limit_in_bytes", 1)))
    group = first.create("gone", 10)
    assert (group / "memory.limit_in_bytes").read_text() == (group / "memory.memsw.limit_in_bytes").read_text()
    second = MemoryGroups(tmp_path, (("memory.max", 1), ("memory.swap.max", 0)))
    group = second.create("gtwo", 10)
    assert ((group / "memory.max").read_text(), (group / "memory.swap.max").read_text()) == ("10485760", "0")
    assert list(second.create("gfree", None).iterdir()) == []


def test_only_start_lines_of_other_boots_are_in_doubt_and_the_last_one_of_a_tag_counts(tmp_path: Path) -> None:
    record = tmp_path / "accounting"
    for boot, tags in (("old", ("ga", "gb")), ("new", ("gb", "gc"))):
        accounting = Accounting(record, boot)
        accounting.write([Entry(Deed.SUBMIT, "gd", "1.9"), *(Entry(Deed.START, tag, f"{boot}.1") for tag in tags)])
        accounting.close()
    assert started_in_other_boots(record, "new") == {"ga": "old.1"}
    assert started_in_other_boots(record, "newer") == {"ga": "old.1", "gb": "new.1", "gc": "new.1"}


def test_half_a_line_in_the_accounting_spoils_no_other(tmp_path: Path) -> None:
    record = tmp_path / "accounting"
    record.write_text('{"deed": "start", "tag": "gcut", "nat')
    accounting = Accounting(record, "old")
    accounting.write([Entry(Deed.START, "gwhole", "1.1")])
    accounting.close()
    assert started_in_other_boots(record, "new") == {"gwhole": "1.1"}


def test_settings_survive_their_way_to_the_supervisor() -> None:
    settings = LocalSettings(cpus=3, readable=("/a", "/b c"), grace_s=0.5)
    assert LocalSettings.from_json(settings.to_json()) == settings


def test_news_goes_on_in_the_new_file_when_the_events_are_set_aside(tmp_path: Path) -> None:
    events = tmp_path / "events"
    events.write_text("start gold 1.1\n")
    tail = EventsTail(events)
    tail.start()
    with events.open("a") as lines:
        lines.write("start gnew 1.2\nend gha")
    assert tail.tags() == {"gnew"}
    with events.open("a") as lines:
        lines.write("lf 1.3\nend glast 1.4\n")
    events.rename(tmp_path / "events.1")
    events.write_text("start gfresh 1.5\nnonsense\n")
    assert tail.tags() == {"ghalf", "glast", "gfresh"}
    assert tail.tags() == frozenset()
    tail.close()


@pytest.mark.parametrize("library", ["sqlalchemy", "pydantic", "fastapi", "structlog", "jinja2"])
def test_the_supervisor_starts_without_the_gateways_libraries(library: str) -> None:
    code = f"import sys, isthmus.cluster.supervisor.__main__; sys.exit('{library}' in sys.modules)"
    environment = {"PYTHONPATH": str(Path(isthmus.__file__).parents[1])}
    assert subprocess.run([sys.executable, "-c", code], env=environment, timeout=30, check=False).returncode == 0
