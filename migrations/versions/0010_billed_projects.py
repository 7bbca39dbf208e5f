"""Which projects each issued invoice and note bills, so that a project's are found among a month's"""

import json

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

BATCH = 200
"""Invoices that are read at once: one may be large."""


def upgrade() -> None:
    op.create_table(
        "billed_projects",
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("invoice_id", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["invoice_id"], ["invoices.id"], name=op.f("fk_billed_projects_invoice_id")),
        sa.PrimaryKeyConstraint("project_id", "invoice_id", name=op.f("pk_billed_projects")),
    )
    fill()


def downgrade() -> None:
    op.drop_table("billed_projects")


def fill() -> None:
    """Read it out of the documents that have a number: those of the project, and the invoices that such notes correct."""
    invoices = sa.table("invoices", *map(sa.column, ("id", "number", "corrects")), sa.column("body", sa.LargeBinary))
    billed = sa.table("billed_projects", sa.column("project_id"), sa.column("invoice_id"))
    connection = op.get_bind()
    issued = connection.execute(sa.select(invoices.c.id).where(invoices.c.number.is_not(None))).scalars().all()
    known = set[tuple[str, str]]()
    for start in range(0, len(issued), BATCH):
        some = sa.select(invoices).where(invoices.c.id.in_(issued[start : start + BATCH]))
        found = {
            (report["project_id"], invoice_id)
            for row in connection.execute(some)
            for report in json.loads(row.body)["reports"]
            for invoice_id in (row.id, row.corrects)
            if invoice_id
        }
        if new := found - known:
            connection.execute(sa.insert(billed), [{"project_id": it, "invoice_id": by} for it, by in new])
            known |= new
