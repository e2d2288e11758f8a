"""Making a database ready."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Connection, create_engine, inspect, text

from isthmus.errors import ConfigurationError, StorageFault
from isthmus.store import Store
from isthmus.store.database import Database
from isthmus.store.mounts import network_type
from isthmus.store.opening import HEAD
from isthmus.store.schema import metadata
from isthmus.store.upgrading import _config, head_of_migrations
from tests.postgres import PostgresServer


def described(connection: Connection) -> dict[str, object]:
    """Everything the database says of its tables, indexes, triggers and defaults."""
    if connection.dialect.name == "sqlite":
        rows = connection.execute(text("SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'alembic%'"))
        made: object = sorted((row.type, row.name, _words(row.sql)) for row in rows if "alembic" not in row.name)
    else:
        rows = connection.execute(
            text(
                "SELECT indexname, indexdef FROM pg_indexes"
                " WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
            )
        )
        made = sorted(tuple(row) for row in rows)
    inspector = inspect(connection)
    tables = {name: _table(connection, name) for name in inspector.get_table_names() if name != "alembic_version"}
    return {"made": made, "tables": tables}


def _table(connection: Connection, name: str) -> dict[str, object]:
    inspector = inspect(connection)
    columns = [(c["name"], str(c["type"]), c["nullable"], c["default"]) for c in inspector.get_columns(name)]
    return {
        "columns": sorted(columns),
        "primary key": inspector.get_pk_constraint(name),
        "foreign keys": sorted(map(str, inspector.get_foreign_keys(name))),
        "unique": sorted(map(str, inspector.get_unique_constraints(name))),
    }


def _words(sql: str | None) -> list[str]:
    """Not in their order: constraints may come in any."""
    return sorted((sql or "").replace(",", " ").replace("(", " ( ").replace(")", " ) ").split())


def test_the_migrated_schema_is_the_one_the_program_knows(
    database_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    Store.open(database_url).close()
    if database_url.startswith("sqlite"):
        fresh = create_engine(f"sqlite:///{tmp_path / 'fresh.db'}")
        _compare(database_url, fresh.url.render_as_string(hide_password=False))
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        with server.database() as other:
            _compare(database_url, other)


def _compare(migrated: str, fresh: str) -> None:
    engines = [create_engine(migrated), create_engine(fresh)]
    metadata.create_all(engines[1])
    found = []
    for engine in engines:
        with engine.connect() as connection:
            found.append(described(connection))
        engine.dispose()
    assert found[0] == found[1]


def test_what_a_database_of_the_first_version_holds_is_kept_and_tells_nobody(database_url: str) -> None:
    config = _config()
    engine = create_engine(database_url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(text(OLD_USER))
    engine.dispose()

    with Store.open(database_url) as store:
        (user,) = store.users()
        assert (user.name, user.email, user.notices) == ("ann", None, "")
        assert store.is_at_head()


OLD_USER = "INSERT INTO users (id, name, role, created_at, must_change_password) VALUES ('1', 'ann', 'user', 1.0, '0')"


def test_the_newest_migration_is_the_one_the_program_asks_for() -> None:
    assert head_of_migrations() == HEAD


def test_a_gateway_keeps_its_id_and_gives_each_database_another(tmp_path: Path) -> None:
    seen = []
    for name in ("a", "a", "b"):
        with Store.open(f"sqlite:///{tmp_path / name}.db") as store:
            seen.append(store.gateway_id)

    assert seen[0] == seen[1] != seen[2]


def test_processes_that_start_together_agree(database_url: str) -> None:
    script = "import sys; from isthmus.store import Store; print(Store.open(sys.argv[1]).gateway_id)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}

    def start(_: int) -> str:
        done = subprocess.run(
            [sys.executable, "-c", script, database_url],
            env=environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=True,
        )
        return done.stdout.strip()

    with ThreadPoolExecutor(4) as threads:
        ids = list(threads.map(start, range(3)))

    assert len(set(ids)) == 1


def test_a_database_of_a_newer_program_is_refused(database_url: str) -> None:
    Store.open(database_url).close()
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()

    with pytest.raises(ConfigurationError, match="newer"):
        Store.open(database_url)


def test_the_sqlite_files_are_private_durable_and_in_wal_mode(tmp_path: Path) -> None:
    path = tmp_path / "isthmus.db"
    with Store.open(f"sqlite:///{path}"):
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
        database = Database.at(f"sqlite:///{path}")
        with database.write() as connection:
            settings = [
                connection.execute(text(f"PRAGMA {name}")).scalar_one()
                for name in ("journal_mode", "synchronous", "foreign_keys")
            ]
        database.close()

    assert set(modes.values()) == {0o600}
    assert settings == ["wal", 2, 1]


def test_a_database_url_that_can_not_be_one_is_refused_with_words(tmp_path: Path) -> None:
    for url in ("nonsense", "mysql://a/b", "sqlite://", "sqlite:///:memory:", f"sqlite:///{tmp_path}/no/such.db"):
        with pytest.raises(ConfigurationError):
            Store.open(url)


def test_a_writer_shut_out_for_too_long_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path / 'isthmus.db'}"
    monkeypatch.setattr("isthmus.store.database.WRITE_WAIT_S", 0.2)
    with Store.open(url) as store:
        database = Database.at(url)
        with database.write(), pytest.raises(StorageFault):
            store.take("a", "me", None)
        database.close()

        assert store.take("a", "me", None) is not None


def test_readers_are_not_held_up_by_a_writer(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'isthmus.db'}"
    with Store.open(url) as store:
        database = Database.at(url)
        with database.write() as connection:
            connection.execute(text("INSERT INTO leases VALUES ('a', 'me', 1, 0)"))
            assert store.lease_row("a") is None
        database.close()


def test_a_full_disk_is_told_as_one_and_leaves_the_store_whole(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'isthmus.db'}"
    Store.open(url).close()
    database = Database.at(url)
    with pytest.raises(StorageFault, match="full"), database.write() as connection:
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
        connection.execute(text(f"PRAGMA max_page_count={pages}"))
        for n in range(10_000):
            connection.execute(text("INSERT INTO leases VALUES (:name, 'x', 1, 0)"), {"name": f"{n}" * 50})
    database.close()

    with Store.open(url) as store:
        assert store.lease_row("0" * 50) is None


def test_a_postgresql_that_does_not_answer_is_a_fault_that_may_pass() -> None:
    with pytest.raises(StorageFault) as fault:
        Store.open("postgresql://nobody@127.0.0.1:1/nothing")

    assert fault.value.can_retry


MOUNTS = r"""
sysfs /sys sysfs rw,nosuid 0 0
/dev/vda1 / ext4 rw,relatime 0 0
home:/export /home nfs4 rw,vers=4.2 0 0
/dev/vdb1 /home/local xfs rw 0 0
server:/x /mnt/with\040blank fuse.sshfs rw 0 0
lustre@tcp:/fs /scratch lustre rw 0 0
tmpfs /scratch/ram tmpfs rw 0 0
/dev/vdc /data ext4 rw 0 0
other:/data /data cifs rw 0 0
odd
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/isthmus", None),
        ("/home", "nfs4"),
        ("/home/ann/isthmus", "nfs4"),
        ("/homely", None),
        ("/home/local/isthmus", None),
        ("/mnt/with blank/x", "fuse.sshfs"),
        ("/scratch/ann", "lustre"),
        ("/scratch/ram/x", None),
        ("/data/x", "cifs"),
    ],
)
def test_a_home_on_a_network_file_system_is_told_from_a_local_one(path: str, kind: str | None) -> None:
    assert network_type(MOUNTS, path) == kind


def test_sqlite_on_a_network_file_system_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isthmus.store.database.network_type", lambda mounts, path: "nfs4")

    with pytest.raises(ConfigurationError, match="PostgreSQL"):
        Store.open(f"sqlite:///{tmp_path / 'isthmus.db'}")
