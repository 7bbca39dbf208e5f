"""Durable jobs: several processes run them, step by step, and jobs may belong to no project"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BEFORE = {"key": "state IN ('queued', 'running')", "project_id": "state = 'running'"}
AFTER = {"key": "state IN ('queued', 'running', 'cancelling')", "partition": "state IN ('running', 'cancelling')"}


def upgrade() -> None:
    drop_guards(BEFORE)
    # No process runs while the schema changes, so what was running was interrupted.
    op.execute("UPDATE jobs SET state = 'queued' WHERE state = 'running'")
    with op.batch_alter_table("jobs") as jobs:
        jobs.alter_column("project_id", existing_type=sa.String(), nullable=True)
        jobs.add_column(sa.Column("partition", sa.String(), nullable=True))
        jobs.add_column(sa.Column("queued", sa.Integer(), nullable=True))
        jobs.add_column(sa.Column("losses", sa.Integer(), nullable=True))
        jobs.add_column(sa.Column("run_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE jobs SET partition = project_id, queued = 1, losses = 0")
    with op.batch_alter_table("jobs") as jobs:
        jobs.alter_column("partition", existing_type=sa.String(), nullable=False)
        jobs.alter_column("queued", existing_type=sa.Integer(), nullable=False)
        jobs.alter_column("losses", existing_type=sa.Integer(), nullable=False)
    add_guards(AFTER)
    op.create_index("ix_jobs_created_at", "jobs", ["created_at", "id"])
    op.create_index("ix_jobs_project_id", "jobs", ["project_id", "created_at"])
    op.create_table(
        "job_steps",
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_steps_job_id")),
        sa.PrimaryKeyConstraint("job_id", "name", name=op.f("pk_job_steps")),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("place", sa.String(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )


def downgrade() -> None:
    op.drop_table("workers")
    op.drop_table("job_steps")
    op.drop_index("ix_jobs_project_id", "jobs")
    op.drop_index("ix_jobs_created_at", "jobs")
    drop_guards(AFTER)
    op.execute("DELETE FROM jobs WHERE project_id IS NULL")
    op.execute("UPDATE jobs SET state = 'queued' WHERE state = 'running'")
    op.execute("UPDATE jobs SET state = 'failed' WHERE state IN ('cancelling', 'cancelled')")
    with op.batch_alter_table("jobs") as jobs:
        for column in ("run_at", "losses", "queued", "partition"):
            jobs.drop_column(column)
        jobs.alter_column("project_id", existing_type=sa.String(), nullable=False)
    add_guards(BEFORE)


def drop_guards(guards: dict[str, str]) -> None:
    for column in guards:
        op.drop_index(f"uq_jobs_{column}", "jobs")


def add_guards(guards: dict[str, str]) -> None:
    for column, where in guards.items():
        only = sa.text(where)
        op.create_index(f"uq_jobs_{column}", "jobs", [column], unique=True, sqlite_where=only, postgresql_where=only)
