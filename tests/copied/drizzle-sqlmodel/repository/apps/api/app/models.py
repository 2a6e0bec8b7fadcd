from datetime import datetime, timezone

from sqlmodel import Field, SQLModel


class Campaign(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(index=True, unique=True)


class Click(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    campaign_id: int = Field(foreign_key="campaign.id")
    link_id: int
    clicked_at: datetime = Field(default_factory=lambda: datetime.now(timezone.utc))
