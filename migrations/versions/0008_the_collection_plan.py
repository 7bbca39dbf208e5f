"""The collection plan: when each project is looked at, which days are wanting, and which projects it is carried out for"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The default stays: taking it away would make SQLite's table anew.
    op.add_column("projects", sa.Column("collect_automatically", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.create_table(
        "collection_plans",
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("look_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("looked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("asked", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.project_id"], name=op.f("fk_collection_plans_project_id")),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_collection_plans")),
    )
    op.create_index(op.f("ix_collection_plans_look_at"), "collection_plans", ["look_at"])
    op.create_table(
        "collection_gaps",
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("gone_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.project_id"], name=op.f("fk_collection_gaps_project_id")),
        sa.PrimaryKeyConstraint("project_id", "kind", "day", name=op.f("pk_collection_gaps")),
    )


def downgrade() -> None:
    op.drop_table("collection_gaps")
    op.drop_table("collection_plans")
    op.drop_column("projects", "collect_automatically")
