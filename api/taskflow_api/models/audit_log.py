"""The audit trail."""

from datetime import UTC, datetime

from sqlalchemy import DateTime
from sqlmodel import Field, SQLModel


class AuditLog(SQLModel, table=True):
    """Who did what, when, to which row."""

    __tablename__ = "audit_log"

    id: int = Field(default=None, primary_key=True)
    at: datetime = Field(default_factory=lambda: datetime.now(UTC), sa_type=DateTime(timezone=True))
    actor_id: int = Field(foreign_key="worker.id", index=True)
    action: str
    entity: str
    entity_id: int
    detail: str
