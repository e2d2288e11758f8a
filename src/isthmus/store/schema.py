"""The tables, as SQLAlchemy Core knows them. `migrations/` makes the same ones step by step; a test proves it.

Times are epoch seconds (UTC). Identifiers that people meet are text (`ids.new_id`); `jobs.number` is the narrow key
that other tables, pages and the text index use. `jobs.next_check_at` is NULL where nobody needs to look (infinity in
`job.Job`). An owner's pages read `ix_jobs_mine_*`, an administrator's `ix_jobs_all_*`: each ends in what the page is
sorted by, so a page costs by its length, not by the number of jobs. A filter by cluster has no range of its own, which
would cost every change of a job on PostgreSQL: `ix_jobs_all` holds the cluster beside the number, to be looked through
without the jobs.

The letters of `notices` (b, e, a) are what a user is told of; `jobs.notices` is NULL where the job leaves it to its
owner's choice. `jobs.copied_owner` and `copied_job` name the job of somebody else that it was made from, as they were
then: words, no way to it. A row of `notices` is due while `next_try_at` is set; `seen_at` is for the page, `sent_at`
for the mail.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    event,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite counts rows only in a column declared INTEGER.
Counter = BigInteger().with_variant(Integer(), "sqlite")


class current_xid(FunctionElement[int]):
    """The running transaction's number, by which readers on PostgreSQL know what is settled; 0 on SQLite."""

    type = BigInteger()
    inherit_cache = True


@compiles(current_xid, "sqlite")
def _no_xid(element: current_xid, compiler: SQLCompiler, **_: object) -> str:
    return "0"


@compiles(current_xid, "postgresql")
def _xid(element: current_xid, compiler: SQLCompiler, **_: object) -> str:
    return "pg_current_xact_id()::text::bigint"


gateway = Table(
    "gateway",
    metadata,
    Column("id", Text, primary_key=True),
    Column("incarnation", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
)

# --- people -----------------------------------------------------------------------------------------------------------
users = Table(
    "users",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("password_hash", Text),
    Column("created_at", Double, nullable=False),
    Column("disabled_at", Double),
    Column("must_change_password", Boolean, nullable=False),
    Column("email", Text),
    Column("notices", Text, nullable=False, server_default=""),
)
tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", ForeignKey("users.id"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("sha256", Text, nullable=False, unique=True),
    Column("scopes", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("last_used_at", Double),
    Column("revoked_at", Double),
)
projects = Table(
    "projects",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("created_at", Double, nullable=False),
)
project_members = Table(
    "project_members",
    metadata,
    Column("project_id", ForeignKey("projects.id"), primary_key=True),
    Column("user_id", ForeignKey("users.id"), primary_key=True, index=True),
)

# --- jobs -------------------------------------------------------------------------------------------------------------
definitions = Table(
    "definitions",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("body", JSON, nullable=False),
)
jobs = Table(
    "jobs",
    metadata,
    Column("number", Counter, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("owner_id", ForeignKey("users.id"), nullable=False),
    Column("project_id", ForeignKey("projects.id")),
    Column("cluster", Text, nullable=False),
    Column("application", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("digest", ForeignKey("definitions.digest"), nullable=False),
    Column("name", Text, nullable=False),
    Column("inputs", JSON, nullable=False),
    Column("resources", JSON, nullable=False),
    Column("restartable", Boolean, nullable=False),
    Column("max_attempts", Integer, nullable=False),
    Column("parent_id", ForeignKey("jobs.id"), index=True),
    Column("root_id", Text, nullable=False, index=True),
    Column("created_at", Double, nullable=False),
    Column("state", Text, nullable=False),
    Column("state_at", Double, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("cause", Text),
    Column("evidence", Text, nullable=False),
    Column("waiting_reason", Text, nullable=False),
    Column("started_at", Double),
    Column("ended_at", Double),
    Column("exit_code", Integer),
    Column("cancel_requested_at", Double),
    Column("next_check_at", Double),
    Column("seq", Integer, nullable=False),
    Column("archived_at", Double),
    Column("deleted_at", Double),
    Column("search_text", Text, nullable=False),
    Column("notices", Text),
    Column("copied_owner", Text),
    Column("copied_job", Text),
    sqlite_autoincrement=True,
)

LIVE = text("state NOT IN ('COMPLETED', 'FAILED', 'CANCELLED')")
CURRENT = text("archived_at IS NULL AND deleted_at IS NULL")
ARCHIVED = text("archived_at IS NOT NULL AND deleted_at IS NULL")


def _jobs_index(name: str, *columns: str, where: str) -> None:
    Index(f"ix_jobs_{name}", *(jobs.c[c] for c in columns), sqlite_where=text(where), postgresql_where=text(where))


_jobs_index("due", "cluster", "next_check_at", where="next_check_at IS NOT NULL")
_jobs_index("live", "cluster", "owner_id", "state", "number", where=LIVE.text)
_jobs_index("mine", "owner_id", "number", where=CURRENT.text)
_jobs_index("mine_state", "owner_id", "state", "number", where=CURRENT.text)
_jobs_index("mine_application", "owner_id", "application", "number", where=CURRENT.text)
_jobs_index("mine_both", "owner_id", "state", "application", "number", where=CURRENT.text)
_jobs_index("mine_name", "owner_id", "name", "number", where=CURRENT.text)
_jobs_index("mine_state_at", "owner_id", "state_at", "number", where=CURRENT.text)
_jobs_index("mine_archived", "owner_id", "number", where=ARCHIVED.text)
_jobs_index("all", "number", "cluster", where=CURRENT.text)
_jobs_index("all_state", "state", "number", where=CURRENT.text)
_jobs_index("all_application", "application", "number", where=CURRENT.text)
_jobs_index("all_both", "state", "application", "number", where=CURRENT.text)
_jobs_index("all_name", "name", "number", where=CURRENT.text)
_jobs_index("all_state_at", "state_at", "number", where=CURRENT.text)
_jobs_index("all_archived", "number", where=ARCHIVED.text)
Index("ix_jobs_created_at_number", jobs.c.created_at, jobs.c.number)

# The text index. Its words are made by `words.search_text`, the same for both databases.
_SEARCH = {
    "sqlite": (
        "CREATE VIRTUAL TABLE job_search USING fts5(search_text, content='jobs', content_rowid='number',"
        " detail='none')",
        "CREATE TRIGGER job_search_inserted AFTER INSERT ON jobs BEGIN"
        " INSERT INTO job_search(rowid, search_text) VALUES (new.number, new.search_text); END",
        "CREATE TRIGGER job_search_deleted AFTER DELETE ON jobs BEGIN"
        " INSERT INTO job_search(job_search, rowid, search_text) VALUES ('delete', old.number, old.search_text); END",
        "CREATE TRIGGER job_search_updated AFTER UPDATE OF search_text ON jobs BEGIN"
        " INSERT INTO job_search(job_search, rowid, search_text) VALUES ('delete', old.number, old.search_text);"
        " INSERT INTO job_search(rowid, search_text) VALUES (new.number, new.search_text); END",
    ),
    "postgresql": ("CREATE INDEX ix_jobs_search ON jobs USING gin (to_tsvector('simple', search_text))",),
}


@event.listens_for(metadata, "after_create")
def _create_search(target: MetaData, connection: Connection, **_: object) -> None:
    for statement in _SEARCH[connection.dialect.name]:
        connection.exec_driver_sql(statement)


job_labels = Table(
    "job_labels",
    metadata,
    Column("job", ForeignKey("jobs.number"), primary_key=True),
    Column("label", Text, primary_key=True),
    Index("ix_job_labels_label_job", "label", "job"),
)
submissions = Table(
    "submissions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("cluster", Text, nullable=False),
    Column("tag", Text, nullable=False, unique=True),
    Column("submit_try", Integer, nullable=False),
    Column("native_id", Text),
    Column("in_doubt_since", Double),
    Column("created_at", Double, nullable=False),
)
attempts = Table(
    "attempts",
    metadata,
    Column("job", ForeignKey("jobs.number"), primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("submission_id", ForeignKey("submissions.id"), nullable=False, index=True),
    Column("array_index", Integer),
    Column("claimed_by", Text),
    Column("run", Integer, nullable=False),
    Column("scheduler_state", Text),
    Column("scheduler_word", Text, nullable=False),
    Column("unlisted_since", Double),
    Column("started_at", Double),
    Column("ended_at", Double),
    Column("exit_code", Integer),
    Column("stopped_by", Text, nullable=False),
    Column("cancel_sent_at", Double),
    Column("stage_failures", Integer, nullable=False),
    Column("voided", Boolean, nullable=False),
    Column("cpu_s", Double),
    Column("peak_memory_mib", BigInteger),
    Column("node", Text, nullable=False, server_default=""),
)
events = Table(
    "events",
    metadata,
    Column("id", Counter, primary_key=True),
    Column("xid", BigInteger, nullable=False, server_default=current_xid()),
    Column("job", ForeignKey("jobs.number"), nullable=False),
    Column("owner_id", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("kind", Text, nullable=False),
    Column("body", JSON, nullable=False),
    Index("ix_events_xid_id", "xid", "id"),
    Index("ix_events_job_id", "job", "id"),
    sqlite_autoincrement=True,
)
idempotency = Table(
    "idempotency",
    metadata,
    Column("owner_id", ForeignKey("users.id"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("body_sha256", Text, nullable=False),
    Column("job", Text, nullable=False),
    Column("created_at", Double, nullable=False),
)

# --- what people are told, and show one another -----------------------------------------------------------------------
notices = Table(
    "notices",
    metadata,
    Column("id", Counter, primary_key=True),
    Column("user_id", ForeignKey("users.id"), nullable=False),
    Column("job", ForeignKey("jobs.number"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("message_id", Text, nullable=False, unique=True),
    Column("mail_to", Text),
    Column("sent_at", Double),
    Column("tries", Integer, nullable=False),
    Column("next_try_at", Double),
    Column("fault", Text, nullable=False),
    Column("seen_at", Double),
    Column("by_name", Text, nullable=False, server_default=""),
    Index("ix_notices_user_id_id", "user_id", "id"),
    sqlite_autoincrement=True,
)
_DUE, _UNSEEN = text("next_try_at IS NOT NULL"), text("seen_at IS NULL")
Index("ix_notices_next_try_at", notices.c.next_try_at, sqlite_where=_DUE, postgresql_where=_DUE)
Index("ix_notices_unseen", notices.c.user_id, sqlite_where=_UNSEEN, postgresql_where=_UNSEEN)
shares = Table(
    "shares",
    metadata,
    Column("id", Text, primary_key=True),
    Column("job", ForeignKey("jobs.number"), nullable=False, index=True),
    Column("user_id", ForeignKey("users.id"), index=True),
    Column("project_id", ForeignKey("projects.id"), index=True),
    Column("link_sha256", Text, unique=True),
    Column("created_by", ForeignKey("users.id"), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
)
audit = Table(
    "audit",
    metadata,
    Column("id", Counter, primary_key=True),
    Column("at", Double, nullable=False),
    Column("user_id", Text),
    Column("user_name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("job", ForeignKey("jobs.number")),
    Column("words", Text, nullable=False),
    Column("address", Text, nullable=False),
    Index("ix_audit_job_id", "job", "id"),
    sqlite_autoincrement=True,
)
drafts = Table(
    "drafts",
    metadata,
    Column("owner_id", ForeignKey("users.id"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("body", JSON, nullable=False),
    Column("updated_at", Double, nullable=False),
)

# --- files ------------------------------------------------------------------------------------------------------------
files = Table(
    "files",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("created_at", Double, nullable=False, index=True),
)
uploads = Table(
    "uploads",
    metadata,
    Column("id", Text, primary_key=True),
    Column("owner_id", ForeignKey("users.id"), nullable=False, index=True),
    Column("sha256", ForeignKey("files.sha256"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("deleted_at", Double),
)
job_inputs = Table(
    "job_inputs",
    metadata,
    Column("job", ForeignKey("jobs.number"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("sha256", ForeignKey("files.sha256"), nullable=False, index=True),
    Column("file_name", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("upload_id", Text),
    Column("from_job", Text),
    Column("from_output", Text),
)
# What deleted jobs took: no file is kept for these rows, so nothing refers to `files`.
deleted_inputs = Table(
    "deleted_inputs",
    metadata,
    Column("job", ForeignKey("jobs.number"), primary_key=True),
    *(Column(name, kind, primary_key=True) for name, kind in (("name", Text), ("position", Integer))),
    Column("sha256", Text, nullable=False),
    Column("file_name", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    *(Column(name, Text) for name in ("upload_id", "from_job", "from_output")),
)
outputs = Table(
    "outputs",
    metadata,
    Column("id", Counter, primary_key=True),
    Column("job", ForeignKey("jobs.number"), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("sha256", ForeignKey("files.sha256"), nullable=False, index=True),
    Column("size", BigInteger, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("owner_id", Text, nullable=False, server_default=""),
    UniqueConstraint("job", "attempt", "name", "path"),
    Index("ix_outputs_owner_id_sha256_size", "owner_id", "sha256", "size"),  # what a user holds, each content once
    sqlite_autoincrement=True,
)

# --- who does what ----------------------------------------------------------------------------------------------------
leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("beat", BigInteger, nullable=False),
)
clusters = Table(
    "clusters",
    metadata,
    Column("name", Text, primary_key=True),
    Column("status", JSON),
    Column("seen_at", Double),
    Column("contact_lost_since", Double),
    Column("closed_reason", Text),
)
wishes = Table(
    "wishes",
    metadata,
    Column("id", Counter, primary_key=True),
    Column("cluster", Text, nullable=False),
    Column("job", ForeignKey("jobs.number"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("until_at", Double, nullable=False),
    Index("ix_wishes_cluster_until_at", "cluster", "until_at"),
    UniqueConstraint("job", "kind"),
    sqlite_autoincrement=True,
)

# --- attempts on nodes that don't see the gateway's files -------------------------------------------------------------
remote_texts = Table(
    "remote_texts",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("body", Text, nullable=False),
)
remote_attempts = Table(
    "remote_attempts",
    metadata,
    Column("tag", Text, primary_key=True),
    Column("cluster", Text, nullable=False),
    Column("job_id", Text, nullable=False),
    Column("order", Text, nullable=False),
    Column("claim", Text),
    Column("claimed_at", Double),
    Column("end_record", Text),
    Column("ended_at", Double),
    Column("refusal", Text, nullable=False, server_default=""),
    Column("sent_at", Double),
    Column("submitted_at", Double),
    Column("withdrawn_at", Double),
    Column("created_at", Double, nullable=False),
)
_WAITING = text("submitted_at IS NOT NULL AND withdrawn_at IS NULL AND ended_at IS NULL")
Index(
    "ix_remote_attempts_waiting",
    remote_attempts.c.cluster,
    remote_attempts.c.submitted_at,
    sqlite_where=_WAITING,
    postgresql_where=_WAITING,
)
remote_outputs = Table(
    "remote_outputs",
    metadata,
    Column("tag", ForeignKey("remote_attempts.tag"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("path", Text, nullable=False),
    Column("sha256", ForeignKey("files.sha256"), index=True),
    Column("size", BigInteger, nullable=False),
    Column("media_type", Text, nullable=False),
)

# --- what a framework remembers of its launches -----------------------------------------------------------------------
frameworks = Table(
    "frameworks",
    metadata,
    Column("cluster", Text, primary_key=True),
    Column("framework_id", Text, nullable=False),
    Column("registered_at", Double, nullable=False),
    Column("removed_at", Double),
    Column("words", Text, nullable=False, server_default=""),
)
launches = Table(
    "launches",
    metadata,
    Column("tag", Text, primary_key=True),
    Column("n", Integer, primary_key=True),
    Column("cluster", Text, nullable=False),
    Column("task_id", Text, nullable=False, unique=True),
    Column("agent_id", Text, nullable=False, server_default=""),
    Column("agent_host", Text, nullable=False, server_default=""),
    Column("agent_url", Text, nullable=False, server_default=""),
    Column("sent_at", Double, nullable=False),
    Column("state", Text, nullable=False, server_default=""),
    Column("uuid", Text, nullable=False, server_default=""),
    Column("reason", Text, nullable=False, server_default=""),
    Column("source", Text, nullable=False, server_default=""),
    Column("message", Text, nullable=False, server_default=""),
    Column("updated_at", Double, nullable=False),
    Column("confirmed", Boolean, nullable=False),
    Column("ended", Boolean, nullable=False),
    Column("sandbox", Text, nullable=False, server_default=""),
)
_OPEN = text("NOT ended")
Index("ix_launches_open", launches.c.cluster, sqlite_where=_OPEN, postgresql_where=_OPEN)
