"""Notices, shares, the audit and drafts, and whose each output is.

What old tables get costs nothing, however many jobs there are; but for `outputs.owner_id`, which is read through once.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    counter = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.add_column("users", sa.Column("email", sa.Text(), nullable=True))
    op.add_column("users", sa.Column("notices", sa.Text(), nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("notices", sa.Text(), nullable=True))
    op.add_column("outputs", sa.Column("owner_id", sa.Text(), nullable=False, server_default=""))
    op.execute("UPDATE outputs SET owner_id = (SELECT owner_id FROM jobs WHERE number = outputs.job)")
    op.create_index("ix_outputs_owner_id_sha256_size", "outputs", ["owner_id", "sha256", "size"], unique=False)
    op.create_table(
        "notices",
        sa.Column("id", counter, nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("job", counter, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("mail_to", sa.Text(), nullable=True),
        sa.Column("sent_at", sa.Double(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_try_at", sa.Double(), nullable=True),
        sa.Column("fault", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_notices_user_id_users"),
        sa.ForeignKeyConstraint(["job"], ["jobs.number"], name="fk_notices_job_jobs"),
        sa.PrimaryKeyConstraint("id", name="pk_notices"),
        sa.UniqueConstraint("message_id", name="uq_notices_message_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_notices_user_id_id", "notices", ["user_id", "id"], unique=False)
    op.create_index(
        "ix_notices_next_try_at",
        "notices",
        ["next_try_at"],
        unique=False,
        sqlite_where=sa.text("next_try_at IS NOT NULL"),
        postgresql_where=sa.text("next_try_at IS NOT NULL"),
    )
    op.create_index(
        "ix_notices_unseen",
        "notices",
        ["user_id"],
        unique=False,
        sqlite_where=sa.text("seen_at IS NULL"),
        postgresql_where=sa.text("seen_at IS NULL"),
    )
    op.create_table(
        "shares",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("job", counter, nullable=False),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("project_id", sa.Text(), nullable=True),
        sa.Column("link_sha256", sa.Text(), nullable=True),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.Column("revoked_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["job"], ["jobs.number"], name="fk_shares_job_jobs"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_shares_user_id_users"),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_shares_project_id_projects"),
        sa.ForeignKeyConstraint(["created_by"], ["users.id"], name="fk_shares_created_by_users"),
        sa.PrimaryKeyConstraint("id", name="pk_shares"),
        sa.UniqueConstraint("link_sha256", name="uq_shares_link_sha256"),
    )
    op.create_index("ix_shares_job", "shares", ["job"], unique=False)
    op.create_index("ix_shares_user_id", "shares", ["user_id"], unique=False)
    op.create_index("ix_shares_project_id", "shares", ["project_id"], unique=False)
    op.create_table(
        "audit",
        sa.Column("id", counter, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("user_name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("job", counter, nullable=True),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job"], ["jobs.number"], name="fk_audit_job_jobs"),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_job_id", "audit", ["job", "id"], unique=False)
    op.create_table(
        "drafts",
        sa.Column("owner_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"], name="fk_drafts_owner_id_users"),
        sa.PrimaryKeyConstraint("owner_id", "key", name="pk_drafts"),
    )
