"""Whose job a job was made from, who a notice is about, and which files a deleted job had taken."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("copied_owner", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("copied_job", sa.Text(), nullable=True))
    op.add_column("notices", sa.Column("by_name", sa.Text(), nullable=False, server_default=""))
    op.create_table(
        "deleted_inputs",
        sa.Column("job", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("upload_id", sa.Text(), nullable=True),
        sa.Column("from_job", sa.Text(), nullable=True),
        sa.Column("from_output", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["job"], ["jobs.number"], name="fk_deleted_inputs_job_jobs"),
        sa.PrimaryKeyConstraint("job", "name", "position", name="pk_deleted_inputs"),
    )
