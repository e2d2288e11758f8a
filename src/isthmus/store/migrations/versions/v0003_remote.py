"""Attempts on nodes that don't see the gateway's files, and what a framework remembers of its launches."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("attempts", sa.Column("node", sa.Text(), nullable=False, server_default=""))
    op.create_table(
        "remote_texts",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_remote_texts"),
    )
    op.create_table(
        "remote_attempts",
        sa.Column("tag", sa.Text(), nullable=False),
        sa.Column("cluster", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("order", sa.Text(), nullable=False),
        sa.Column("claim", sa.Text(), nullable=True),
        sa.Column("claimed_at", sa.Double(), nullable=True),
        sa.Column("end_record", sa.Text(), nullable=True),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("refusal", sa.Text(), nullable=False, server_default=""),
        sa.Column("sent_at", sa.Double(), nullable=True),
        sa.Column("submitted_at", sa.Double(), nullable=True),
        sa.Column("withdrawn_at", sa.Double(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("tag", name="pk_remote_attempts"),
    )
    op.create_index(
        "ix_remote_attempts_waiting",
        "remote_attempts",
        ["cluster", "submitted_at"],
        unique=False,
        sqlite_where=sa.text("submitted_at IS NOT NULL AND withdrawn_at IS NULL AND ended_at IS NULL"),
        postgresql_where=sa.text("submitted_at IS NOT NULL AND withdrawn_at IS NULL AND ended_at IS NULL"),
    )
    op.create_table(
        "remote_outputs",
        sa.Column("tag", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["tag"], ["remote_attempts.tag"], name="fk_remote_outputs_tag_remote_attempts"),
        sa.ForeignKeyConstraint(["sha256"], ["files.sha256"], name="fk_remote_outputs_sha256_files"),
        sa.PrimaryKeyConstraint("tag", "key", "name", name="pk_remote_outputs"),
    )
    op.create_index("ix_remote_outputs_sha256", "remote_outputs", ["sha256"], unique=False)
    op.create_table(
        "frameworks",
        sa.Column("cluster", sa.Text(), nullable=False),
        sa.Column("framework_id", sa.Text(), nullable=False),
        sa.Column("registered_at", sa.Double(), nullable=False),
        sa.Column("removed_at", sa.Double(), nullable=True),
        sa.Column("words", sa.Text(), nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("cluster", name="pk_frameworks"),
    )
    op.create_table(
        "launches",
        sa.Column("tag", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("cluster", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False, server_default=""),
        sa.Column("agent_host", sa.Text(), nullable=False, server_default=""),
        sa.Column("agent_url", sa.Text(), nullable=False, server_default=""),
        sa.Column("sent_at", sa.Double(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, server_default=""),
        sa.Column("uuid", sa.Text(), nullable=False, server_default=""),
        sa.Column("reason", sa.Text(), nullable=False, server_default=""),
        sa.Column("source", sa.Text(), nullable=False, server_default=""),
        sa.Column("message", sa.Text(), nullable=False, server_default=""),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.Column("confirmed", sa.Boolean(), nullable=False),
        sa.Column("ended", sa.Boolean(), nullable=False),
        sa.Column("sandbox", sa.Text(), nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("tag", "n", name="pk_launches"),
        sa.UniqueConstraint("task_id", name="uq_launches_task_id"),
    )
    op.create_index(
        "ix_launches_open",
        "launches",
        ["cluster"],
        unique=False,
        sqlite_where=sa.text("NOT ended"),
        postgresql_where=sa.text("NOT ended"),
    )
