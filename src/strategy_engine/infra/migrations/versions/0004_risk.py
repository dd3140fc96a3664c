"""Risk that acts: limits, references, breaches, alerts, the kill switch."""

from alembic import context

revision = "0004"
down_revision = "0003"
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
