"""A project."""

from sqlmodel import Field, SQLModel


class Project(SQLModel, table=True):
    """What tasks belong to."""

    id: int = Field(default=None, primary_key=True)
    name: str = Field(unique=True)
