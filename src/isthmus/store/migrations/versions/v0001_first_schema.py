"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:  # noqa: PLR0915  (one statement a table or index)
    sqlite = op.get_bind().dialect.name == "sqlite"
    counter = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    xid = sa.text("0" if sqlite else "pg_current_xact_id()::text::bigint")
    op.create_table(
        "clusters",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.JSON(), nullable=True),
        sa.Column("seen_at", sa.Double(), nullable=True),
        sa.Column("contact_lost_since", sa.Double(), nullable=True),
        sa.Column("closed_reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("name", name="pk_clusters"),
    )
    op.create_table(
        "definitions",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_definitions"),
    )
    op.create_table(
        "files",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_files"),
    )
    op.create_index("ix_files_created_at", "files", ["created_at"], unique=False)
    op.create_table(
        "gateway",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("incarnation", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_gateway"),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("beat", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )
    op.create_table(
        "projects",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_projects"),
        sa.UniqueConstraint("name", name="uq_projects_name"),
    )
    op.create_table(
        "submissions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("cluster", sa.Text(), nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.Column("submit_try", sa.Integer(), nullable=False),
        sa.Column("native_id", sa.Text(), nullable=True),
        sa.Column("in_doubt_since", sa.Double(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_submissions"),
        sa.UniqueConstraint("tag", name="uq_submissions_tag"),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("disabled_at", sa.Double(), nullable=True),
        sa.Column("must_change_password", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("name", name="uq_users_name"),
    )
    op.create_table(
        "idempotency",
        sa.Column("owner_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body_sha256", sa.Text(), nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name="fk_idempotency_owner_id_users"),
        sa.PrimaryKeyConstraint("owner_id", "key", name="pk_idempotency"),
    )
    op.create_table(
        "jobs",
        sa.Column("number", counter, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("owner_id", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text(), nullable=True),
        sa.Column("cluster", sa.Text(), nullable=False),
        sa.Column("application", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("inputs", sa.JSON(), nullable=False),
        sa.Column("resources", sa.JSON(), nullable=False),
        sa.Column("restartable", sa.Boolean(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("parent_id", sa.Text(), nullable=True),
        sa.Column("root_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("state_at", sa.Double(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=True),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("waiting_reason", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("cancel_requested_at", sa.Double(), nullable=True),
        sa.Column("next_check_at", sa.Double(), nullable=True),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("archived_at", sa.Double(), nullable=True),
        sa.Column("deleted_at", sa.Double(), nullable=True),
        sa.Column("search_text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["digest"], ["definitions.digest"], name="fk_jobs_digest_definitions"),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name="fk_jobs_owner_id_users"),
        sa.ForeignKeyConstraint(["parent_id"], ["jobs.id"], name="fk_jobs_parent_id_jobs"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_jobs_project_id_projects"),
        sa.PrimaryKeyConstraint("number", name="pk_jobs"),
        sa.UniqueConstraint("id", name="uq_jobs_id"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_jobs_all",
        "jobs",
        ["number", "cluster"],
        unique=False,
        sqlite_where=sa.text("archived_at IS NULL AND deleted_at IS NULL"),
        postgresql_where=sa.text("archived_at IS NULL AND deleted_at IS NULL"),
    )
    op.create_index(
        "ix_jobs_all_application",
        "jobs",
        ["application", "number"],
        unique=False,
        sqlite_where=sa.text("archived_at IS NULL AND deleted_at IS NULL"),
        postgresql_where=sa.text("archived_at IS NULL AND deleted_at IS NULL"),
    )
    op.create_index(
        "ix_jobs_all_archived",
        "jobs",
        ["number"],
        unique=False,
        sqlite_where=sa.text("archived_at IS NOT NULL AND deleted_at IS NULL"),
        postgresql_where=sa.text("archived_at IS NOT NULL AND deleted_at IS NULL"),
    )
    op.create_index(
        "ix_jobs_all_both",
        "jobs",
        ["state", "application", "number"],
        unique=False,
        sqlite_where=sa.text("archived_at IS NULL AND deleted_at IS NULL"),
        postgresql_where=sa.text("archived_at IS NULL AND deleted_at IS NULL"),
    )
    op.create_index(
        "ix_jobs_all_name",
        "jobs",
        ["name", "number"],
        unique=False,
        sqlite_where=sa.text("archived_at IS NULL AND deleted_at IS NULL"),
        postgresql_where=sa.text("archived_at IS NULL AND deleted_at IS NULL"),
    )
    op.create_index(
        "ix_jobs_all_state",
        "jobs",
        ["state", "number"],
        unique=False,
        sqlite_where=sa.text("archived_at IS NULL AND deleted_at IS NULL"),
        postgresql_where=sa.text("archived_at IS NULL AND deleted_at IS NULL"),
    )
    op.create_index(
        "ix_jobs_all_state_at",
        "jobs",
        ["state_at", "number"],
        unique=False,
        sqlite_where=sa.text("archived_at IS NULL AND deleted_at IS NULL"),
        postgresql_where=sa.text("archived_at IS NULL AND deleted_at IS NULL"),
    )
    op.create_index("ix_jobs_created_at_number", "jobs", ["created_at", "number"], unique=False)
    op.create_index(
        "ix_jobs_due",
        "jobs",
        ["cluster", "next_check_at"],
        unique=False,
        sqlite_where=sa.text("next_check_at IS NOT NULL"),
        postgresql_where=sa.text("next_check_at IS NOT NULL"),
    )
    op.create_index(
        "ix_jobs_live",
        "jobs",
        ["cluster", "owner_id", "state", "number"],
        unique=False,
        sqlite_where=sa.text("state NOT IN ('COMPLETED', 'FAILED', 'CANCELLED')"),
        postgresql_where=sa.text("state NOT IN ('COMPLETED', 'FAILED', 'CANCELLED')"),
    )
    op.create_index(
        "ix_jobs_mine",
        "jobs",
        ["owner_id", "number"],
        unique=False,
        sqlite_where=sa.text("archived_at IS NULL AND deleted_at IS NULL"),
        postgresql_where=sa.text("archived_at IS NULL AND deleted_at IS NULL"),
    )
    op.create_index(
        "ix_jobs_mine_application",
        "jobs",
        ["owner_id", "application", "number"],
        unique=False,
        sqlite_where=sa.text("archived_at IS NULL AND deleted_at IS NULL"),
        postgresql_where=sa.text("archived_at IS NULL AND deleted_at IS NULL"),
    )
    op.create_index(
        "ix_jobs_mine_archived",
        "jobs",
        ["owner_id", "number"],
        unique=False,
        sqlite_where=sa.text("archived_at IS NOT NULL AND deleted_at IS NULL"),
        postgresql_where=sa.text("archived_at IS NOT NULL AND deleted_at IS NULL"),
    )
    op.create_index(
        "ix_jobs_mine_both",
        "jobs",
        ["owner_id", "state", "application", "number"],
        unique=False,
        sqlite_where=sa.text("archived_at IS NULL AND deleted_at IS NULL"),
        postgresql_where=sa.text("archived_at IS NULL AND deleted_at IS NULL"),
    )
    op.create_index(
        "ix_jobs_mine_name",
        "jobs",
        ["owner_id", "name", "number"],
        unique=False,
        sqlite_where=sa.text("archived_at IS NULL AND deleted_at IS NULL"),
        postgresql_where=sa.text("archived_at IS NULL AND deleted_at IS NULL"),
    )
    op.create_index(
        "ix_jobs_mine_state",
        "jobs",
        ["owner_id", "state", "number"],
        unique=False,
        sqlite_where=sa.text("archived_at IS NULL AND deleted_at IS NULL"),
        postgresql_where=sa.text("archived_at IS NULL AND deleted_at IS NULL"),
    )
    op.create_index(
        "ix_jobs_mine_state_at",
        "jobs",
        ["owner_id", "state_at", "number"],
        unique=False,
        sqlite_where=sa.text("archived_at IS NULL AND deleted_at IS NULL"),
        postgresql_where=sa.text("archived_at IS NULL AND deleted_at IS NULL"),
    )
    op.create_index("ix_jobs_parent_id", "jobs", ["parent_id"], unique=False)
    op.create_index("ix_jobs_root_id", "jobs", ["root_id"], unique=False)
    op.create_table(
        "project_members",
        sa.Column("project_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_project_members_project_id_projects"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_project_members_user_id_users"),
        sa.PrimaryKeyConstraint("project_id", "user_id", name="pk_project_members"),
    )
    op.create_index("ix_project_members_user_id", "project_members", ["user_id"], unique=False)
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.Column("last_used_at", sa.Double(), nullable=True),
        sa.Column("revoked_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_tokens_user_id_users"),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("sha256", name="uq_tokens_sha256"),
    )
    op.create_index("ix_tokens_user_id", "tokens", ["user_id"], unique=False)
    op.create_table(
        "uploads",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("owner_id", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("deleted_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name="fk_uploads_owner_id_users"),
        sa.ForeignKeyConstraint(["sha256"], ["files.sha256"], name="fk_uploads_sha256_files"),
        sa.PrimaryKeyConstraint("id", name="pk_uploads"),
    )
    op.create_index("ix_uploads_owner_id", "uploads", ["owner_id"], unique=False)
    op.create_index("ix_uploads_sha256", "uploads", ["sha256"], unique=False)
    op.create_table(
        "attempts",
        sa.Column("job", counter, nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("submission_id", sa.Text(), nullable=False),
        sa.Column("array_index", sa.Integer(), nullable=True),
        sa.Column("claimed_by", sa.Text(), nullable=True),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("scheduler_state", sa.Text(), nullable=True),
        sa.Column("scheduler_word", sa.Text(), nullable=False),
        sa.Column("unlisted_since", sa.Double(), nullable=True),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("stopped_by", sa.Text(), nullable=False),
        sa.Column("cancel_sent_at", sa.Double(), nullable=True),
        sa.Column("stage_failures", sa.Integer(), nullable=False),
        sa.Column("voided", sa.Boolean(), nullable=False),
        sa.Column("cpu_s", sa.Double(), nullable=True),
        sa.Column("peak_memory_mib", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["job"], ["jobs.number"], name="fk_attempts_job_jobs"),
        sa.ForeignKeyConstraint(["submission_id"], ["submissions.id"], name="fk_attempts_submission_id_submissions"),
        sa.PrimaryKeyConstraint("job", "n", name="pk_attempts"),
    )
    op.create_index("ix_attempts_submission_id", "attempts", ["submission_id"], unique=False)
    op.create_table(
        "events",
        sa.Column("id", counter, nullable=False),
        sa.Column("xid", sa.BigInteger(), server_default=xid, nullable=False),
        sa.Column("job", counter, nullable=False),
        sa.Column("owner_id", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["job"], ["jobs.number"], name="fk_events_job_jobs"),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_job_id", "events", ["job", "id"], unique=False)
    op.create_index("ix_events_xid_id", "events", ["xid", "id"], unique=False)
    op.create_table(
        "job_inputs",
        sa.Column("job", counter, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("upload_id", sa.Text(), nullable=True),
        sa.Column("from_job", sa.Text(), nullable=True),
        sa.Column("from_output", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["job"], ["jobs.number"], name="fk_job_inputs_job_jobs"),
        sa.ForeignKeyConstraint(["sha256"], ["files.sha256"], name="fk_job_inputs_sha256_files"),
        sa.PrimaryKeyConstraint("job", "name", "position", name="pk_job_inputs"),
    )
    op.create_index("ix_job_inputs_sha256", "job_inputs", ["sha256"], unique=False)
    op.create_table(
        "job_labels",
        sa.Column("job", counter, nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job"], ["jobs.number"], name="fk_job_labels_job_jobs"),
        sa.PrimaryKeyConstraint("job", "label", name="pk_job_labels"),
    )
    op.create_index("ix_job_labels_label_job", "job_labels", ["label", "job"], unique=False)
    op.create_table(
        "outputs",
        sa.Column("id", counter, nullable=False),
        sa.Column("job", counter, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job"], ["jobs.number"], name="fk_outputs_job_jobs"),
        sa.ForeignKeyConstraint(["sha256"], ["files.sha256"], name="fk_outputs_sha256_files"),
        sa.PrimaryKeyConstraint("id", name="pk_outputs"),
        sa.UniqueConstraint("job", "attempt", "name", "path", name="uq_outputs_job_attempt_name_path"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_outputs_sha256", "outputs", ["sha256"], unique=False)
    op.create_table(
        "wishes",
        sa.Column("id", counter, nullable=False),
        sa.Column("cluster", sa.Text(), nullable=False),
        sa.Column("job", counter, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("until_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["job"], ["jobs.number"], name="fk_wishes_job_jobs"),
        sa.PrimaryKeyConstraint("id", name="pk_wishes"),
        sa.UniqueConstraint("job", "kind", name="uq_wishes_job_kind"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_wishes_cluster_until_at", "wishes", ["cluster", "until_at"], unique=False)

    for statement in SQLITE_SEARCH if sqlite else POSTGRESQL_SEARCH:
        op.execute(statement)


SQLITE_SEARCH = (
    "CREATE VIRTUAL TABLE job_search USING fts5(search_text, content='jobs', content_rowid='number', detail='none')",
    "CREATE TRIGGER job_search_inserted AFTER INSERT ON jobs BEGIN"
    " INSERT INTO job_search(rowid, search_text) VALUES (new.number, new.search_text); END",
    "CREATE TRIGGER job_search_deleted AFTER DELETE ON jobs BEGIN"
    " INSERT INTO job_search(job_search, rowid, search_text) VALUES ('delete', old.number, old.search_text); END",
    "CREATE TRIGGER job_search_updated AFTER UPDATE OF search_text ON jobs BEGIN"
    " INSERT INTO job_search(job_search, rowid, search_text) VALUES ('delete', old.number, old.search_text);"
    " INSERT INTO job_search(rowid, search_text) VALUES (new.number, new.search_text); END",
)
POSTGRESQL_SEARCH = ("CREATE INDEX ix_jobs_search ON jobs USING gin (to_tsvector('simple', search_text))",)
