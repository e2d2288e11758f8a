"""The applications that come with Isthmus."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from isthmus.application import (
    Application,
    EnabledFor,
    FileFacts,
    Isolation,
    Places,
    Rendered,
    check_examples,
    check_inputs,
    choose_resources,
    input_schema,
    page,
    read_application,
    read_catalogue,
    render,
)
from isthmus.application.encoding import Json
from isthmus.cluster import Order, OutputRule
from isthmus.cluster.attempts import directory_of
from isthmus.cluster.stage_out import stage_out
from isthmus.collecting import Limits
from isthmus.facts import StagedOut
from isthmus.files import FileStore
from isthmus.job import Resources

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "applications").glob("*.yaml"))


def shipped(name: str) -> Application:
    return read_application((ROOT / "applications" / f"{name}.yaml").read_text(), name)


def rendered(application: Application, values: dict[str, Json], places: Places, **files: str) -> Rendered:
    facts = {name: FileFacts("0" * 64, 1, one) for name, one in files.items()}
    inputs = check_inputs(application, values, facts)
    return render(application, inputs, choose_resources(application, inputs, {}), application.deployments[0], places)


def test_the_shipped_catalogue_has_no_fault() -> None:
    catalogue = read_catalogue((file.name, file.read_text()) for file in FILES)
    assert catalogue.broken == ()
    assert list(catalogue.applications) == ["python-script", "storm-clustering"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_shipped_application_checks(file: Path) -> None:
    application = read_application(file.read_text(), file.name)
    assert application.examples
    assert check_examples(application) == ()
    assert Application.from_json(application.to_json()) == application
    Draft202012Validator.check_schema(input_schema(application))
    assert page(application).startswith(f"# {application.title}\n")


def test_storm_clustering_runs_the_sites_own_installation() -> None:
    places = Places("/j/in", "/j/out", {"programs": "/srv/programs"})
    done = rendered(shipped("storm-clustering"), {"site": "KLOT"}, places, radar="KLOT.bz2")
    assert done.argv == (
        *("/srv/programs/storm-clustering/bin/storm-clustering", "/j/in/radar.bz2", "--out=/j/out"),
        *("--threshold-dbz=40", "--eps-km=4", "--min-gates=8", "--min-area-km2=10", "--sweep=lowest", "--site=KLOT"),
    )
    assert not done.network


def test_storm_clustering_passes_only_flags_its_program_has() -> None:
    program = (ROOT / "programs/storm-clustering/src/storm_clustering/arguments.py").read_text()
    words = [word for word in rendered_words() if word.startswith("--")]
    assert [word for word in words if f'add("{word}"' not in program and f'"{word}",\n' not in program] == []


def rendered_words() -> list[str]:
    places = Places("/j/in", "/j/out", {"programs": "/p"})
    argv = rendered(shipped("storm-clustering"), {"site": "KLOT"}, places, radar="x").argv or ()
    return [word.split("=")[0] for word in argv]


def test_a_users_script_is_not_open_to_anybody_until_an_administrator_says_so() -> None:
    application = shipped("python-script")
    assert application.enabled_for is EnabledFor.NOBODY
    assert application.isolation is Isolation.REQUIRED


def test_a_users_script_has_the_network_only_for_its_requirements() -> None:
    places = Places("/j/in", "/j/out")
    assert not rendered(shipped("python-script"), {}, places, script="a.py").network
    assert rendered(shipped("python-script"), {}, places, script="a.py", requirements="r.txt").network


def run(done: Rendered, work: Path) -> subprocess.CompletedProcess[bytes]:
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    environment = {"PATH": path, "HOME": str(work), "LC_ALL": "C.UTF-8", "TMPDIR": str(work / "temporary")}
    (work / "temporary").mkdir()
    return subprocess.run(
        ["/bin/sh"],
        input=done.text().encode(),
        cwd=work,
        env=environment,
        capture_output=True,
        timeout=240,
        check=False,
    )


def job(folder: Path, script: str) -> Places:
    places = Places(f"{folder}/the inputs", f"{folder}/work")
    for one in (places.inputs_dir, places.outputs_dir):
        Path(one).mkdir(parents=True)
    Path(places.inputs_dir, "script.py").write_text(script)
    return places


def test_a_users_script_gets_its_arguments_and_writes_into_its_outputs(tmp_path: Path) -> None:
    places = job(tmp_path, "import sys, pathlib; pathlib.Path('result').write_text(repr(sys.argv[1:]))")
    arguments: list[Json] = ["it's", "$(id)", "", "--x", "#SBATCH"]
    done = run(rendered(shipped("python-script"), {"arguments": arguments}, places, script="mine.py"), tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert Path(places.outputs_dir, "result").read_text() == repr(arguments)


def test_the_exit_code_of_a_users_script_is_the_jobs(tmp_path: Path) -> None:
    places = job(tmp_path, "raise SystemExit(99)")
    assert run(rendered(shipped("python-script"), {}, places, script="mine.py"), tmp_path).returncode == 99


def test_requirements_go_into_an_environment_of_the_job_alone(tmp_path: Path) -> None:
    order = Order("g1", "job", Resources(), "", outputs=(OutputRule("files", "**/*", "", required=False),))
    places = job(
        directory_of(tmp_path, order.tag),
        "import sys, pathlib; print(sys.prefix); pathlib.Path('result').write_text('done')",
    )
    Path(places.inputs_dir, "requirements.txt").write_text("# nothing\n")
    done = run(rendered(shipped("python-script"), {}, places, script="mine.py", requirements="r.txt"), tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert Path(done.stdout.decode().strip()).is_relative_to(tmp_path / "temporary")
    staged = stage_out(tmp_path, order, FileStore(tmp_path / "files"), Limits(10, 10))
    assert isinstance(staged, StagedOut), staged
    assert [file.path for file in staged.files] == ["result"]


def test_the_file_shown_in_the_reference_is_a_good_one() -> None:
    text = (ROOT / "docs/reference/application-file.md").read_text()
    application = read_application(text.split("```yaml\n")[1].split("```")[0], "application-file.md")
    assert check_examples(application) == ()
