"""Money: legal entities, customers, rate cards, invoices, the audit log"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

APPEND_ONLY = ("rate_cards", "audit_log")
SETTLED = (
    "id",
    "kind",
    "customer_id",
    "entity_id",
    "first_day",
    "last_day",
    "number",
    "issued_on",
    "due_on",
    "currency",
    "total",
    "corrects",
    "created_by",
    "approved_by",
    "created_at",
    "sha256",
    "body",
)
"""The columns of an invoice that nothing changes once it has a number."""


def upgrade() -> None:
    op.create_table(
        "legal_entities",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("prefix", sa.String(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_legal_entities")),
        sa.UniqueConstraint("prefix", name=op.f("uq_legal_entities_prefix")),
    )
    op.create_table(
        "customers",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("entity_id", sa.String(), nullable=False),
        sa.Column("rate_card_id", sa.String(), nullable=True),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["entity_id"], ["legal_entities.id"], name=op.f("fk_customers_entity_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customers")),
    )
    op.add_column("projects", sa.Column("rate_card_id", sa.String(), nullable=True))
    # Alembic would copy the table on SQLite, and other tables refer to it: both databases can do this in place.
    op.execute(
        "ALTER TABLE projects ADD COLUMN customer_id VARCHAR CONSTRAINT fk_projects_customer_id REFERENCES customers (id)"
    )
    op.create_index("ix_projects_customer_id", "projects", ["customer_id"])
    for table, key in (("session_owners", "session_id"), ("session_rules", "pattern")):
        op.create_table(
            table,
            sa.Column("project_id", sa.String(), nullable=False),
            sa.Column(key, sa.String(), nullable=False),
            sa.Column("customer_id", sa.String(), nullable=False),
            sa.ForeignKeyConstraint(["project_id"], ["projects.project_id"], name=op.f(f"fk_{table}_project_id")),
            sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f(f"fk_{table}_customer_id")),
            sa.PrimaryKeyConstraint("project_id", key, name=op.f(f"pk_{table}")),
        )
        op.create_index(f"ix_{table}_customer_id", table, ["customer_id"])
    op.create_table(
        "rate_cards",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("effective_from", sa.Date(), nullable=False),
        sa.Column("effective_to", sa.Date(), nullable=True),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", "version", name=op.f("pk_rate_cards")),
    )
    op.create_table(
        "invoices",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("entity_id", sa.String(), nullable=False),
        sa.Column("first_day", sa.Date(), nullable=False),
        sa.Column("last_day", sa.Date(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("number", sa.String(), nullable=True),
        sa.Column("issued_on", sa.Date(), nullable=True),
        sa.Column("due_on", sa.Date(), nullable=True),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("total", sa.String(), nullable=False),
        sa.Column("corrects", sa.String(), nullable=True),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("approved_by", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], name=op.f("fk_invoices_customer_id")),
        sa.ForeignKeyConstraint(["entity_id"], ["legal_entities.id"], name=op.f("fk_invoices_entity_id")),
        sa.ForeignKeyConstraint(["corrects"], ["invoices.id"], name=op.f("fk_invoices_corrects")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoices")),
        sa.UniqueConstraint("entity_id", "number", name=op.f("uq_invoices_entity_id_number")),
    )
    for column in ("customer_id", "corrects"):
        op.create_index(f"ix_invoices_{column}", "invoices", [column])
    living = sa.text("kind = 'invoice' AND status IN ('draft', 'approved', 'finalized')")
    what = ["customer_id", "first_day", "last_day"]
    op.create_index("uq_invoices_living", "invoices", what, unique=True, sqlite_where=living, postgresql_where=living)
    op.create_table(
        "number_counters",
        sa.Column("entity_id", sa.String(), nullable=False),
        sa.Column("year", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["entity_id"], ["legal_entities.id"], name=op.f("fk_number_counters_entity_id")),
        sa.PrimaryKeyConstraint("entity_id", "year", name=op.f("pk_number_counters")),
    )
    op.create_table(
        "audit_log",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("previous_sha256", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit_log")),
    )
    op.create_index("ix_audit_log_subject", "audit_log", ["subject"])
    _make_append_only()
    _settle_invoices()


def _make_append_only() -> None:
    """What was published, and who did what, is never changed. A later copy of such a table needs these again."""
    for table in APPEND_ONLY:
        if op.get_bind().dialect.name == "postgresql":
            op.execute(
                f"""CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
                FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"""
            )
        else:
            for verb in ("UPDATE", "DELETE"):
                op.execute(
                    f"""CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table}
                    BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"""
                )


def _settle_invoices() -> None:
    """An invoice is never deleted. Each write counts its version on; with a number, only the status changes, and only forward.
    A later copy of the table needs these again."""
    postgresql = op.get_bind().dialect.name == "postgresql"
    differs = "IS DISTINCT FROM" if postgresql else "IS NOT"
    changed = " OR ".join(f"NEW.{column} {differs} OLD.{column}" for column in SETTLED)
    refused = f"""NEW.version <> OLD.version + 1 OR (OLD.number IS NOT NULL AND (
        OLD.status <> 'finalized' OR NEW.status NOT IN ('void', 'credited') OR {changed}))"""
    if postgresql:
        op.execute(
            """CREATE FUNCTION refuse_invoice() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN RAISE EXCEPTION 'invoices are settled'; END $$"""
        )
        op.execute(
            f"""CREATE TRIGGER invoices_settled BEFORE UPDATE ON invoices
            FOR EACH ROW WHEN ({refused}) EXECUTE FUNCTION refuse_invoice()"""
        )
        op.execute(
            """CREATE TRIGGER invoices_stay BEFORE DELETE OR TRUNCATE ON invoices
            FOR EACH STATEMENT EXECUTE FUNCTION refuse_invoice()"""
        )
    else:
        for name, when in (("settled BEFORE UPDATE", f"WHEN {refused}"), ("stay BEFORE DELETE", "")):
            op.execute(
                f"""CREATE TRIGGER invoices_{name} ON invoices {when}
                BEGIN SELECT RAISE(ABORT, 'invoices are settled'); END"""
            )


def downgrade() -> None:
    op.drop_index("ix_projects_customer_id", "projects")
    op.drop_column("projects", "customer_id")
    op.drop_column("projects", "rate_card_id")
    for table in (
        "audit_log",
        "number_counters",
        "invoices",
        "rate_cards",
        "session_rules",
        "session_owners",
        "customers",
        "legal_entities",
    ):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_invoice()")
