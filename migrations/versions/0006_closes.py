"""Closes: what has become of each project's billing cycles"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "closes",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("first_day", sa.Date(), nullable=False),
        sa.Column("last_day", sa.Date(), nullable=False),
        sa.Column("is_cycle", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("seen_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("report_id", sa.String(), nullable=True),
        sa.Column("invoice_ids", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.project_id"], name=op.f("fk_closes_project_id")),
        sa.ForeignKeyConstraint(["report_id"], ["reports.id"], name=op.f("fk_closes_report_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_closes")),
        sa.UniqueConstraint("project_id", "first_day", "last_day", name=op.f("uq_closes_project_id_first_day_last_day")),
    )
    op.create_index(op.f("ix_closes_next_attempt_at"), "closes", ["next_attempt_at"])
    op.create_index(op.f("ix_closes_seen_until"), "closes", ["seen_until"])
    op.create_index("ix_closes_newest", "closes", ["created_at", "id"])


def downgrade() -> None:
    op.drop_table("closes")
