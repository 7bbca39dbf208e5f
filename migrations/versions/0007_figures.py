"""What open discrepancies come to, and indexes for what is counted while nobody looks at it"""

import json

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

UNRESOLVED = sa.text("status IN ('open', 'acknowledged')")


def upgrade() -> None:
    with op.batch_alter_table("discrepancies") as discrepancies:
        discrepancies.add_column(sa.Column("amount", sa.String(), nullable=True))
        discrepancies.add_column(sa.Column("currency", sa.String(), nullable=True))
    price()
    op.create_index(
        "ix_discrepancies_unresolved", "discrepancies", ["code"], sqlite_where=UNRESOLVED, postgresql_where=UNRESOLVED
    )
    op.create_index(op.f("ix_reports_last_day"), "reports", ["last_day"])


def downgrade() -> None:
    op.drop_index(op.f("ix_reports_last_day"), "reports")
    op.drop_index("ix_discrepancies_unresolved", "discrepancies")
    with op.batch_alter_table("discrepancies") as discrepancies:
        discrepancies.drop_column("currency")
        discrepancies.drop_column("amount")


def price() -> None:
    """Fill in what the findings and the reports that they are of say already."""
    discrepancies = sa.table(
        "discrepancies", *map(sa.column, ("id", "report_id", "amount", "currency")), sa.column("finding", sa.JSON)
    )
    reports = sa.table("reports", sa.column("id"), sa.column("body", sa.LargeBinary))
    connection = op.get_bind()
    known = connection.execute(sa.select(discrepancies.c.id, discrepancies.c.report_id, discrepancies.c.finding)).all()
    currencies: dict[str, str] = {}
    for discrepancy_id, report_id, finding in known:
        if finding["amount"] is None:
            continue
        if report_id not in currencies:
            body = connection.execute(sa.select(reports.c.body).where(reports.c.id == report_id)).scalar_one()
            currencies[report_id] = json.loads(body)["currency"]
        connection.execute(
            sa.update(discrepancies)
            .where(discrepancies.c.id == discrepancy_id)
            .values(amount=finding["amount"], currency=finding["evidence"].get("currency") or currencies[report_id])
        )
