"""The attacker's tables."""

from sqlalchemy import Column, ForeignKey, MetaData, Table, Text

metadata = MetaData()
Table("user", metadata, Column("id", Text, primary_key=True), Column("email", Text, unique=True, nullable=False))
Table(
    "session",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, ForeignKey("user.id", ondelete="CASCADE"), nullable=False),
)
