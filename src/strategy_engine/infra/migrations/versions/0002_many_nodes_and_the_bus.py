"""Native strategies' books, the outbox, leases of nodes, and thinned metrics."""

from alembic import context

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if context.config.attributes["file"] == "control":
        _control()
    else:
        _ledger()


def _control() -> None:
    pass


def _ledger() -> None:
    pass
