"""A person who works here."""

from sqlmodel import Field, SQLModel


class Worker(SQLModel, table=True):
    """Somebody the SSO knows, seen here for the first time with their first token."""

    id: int = Field(default=None, primary_key=True)  # None until the database gives one
    sub: str = Field(unique=True)  # the SSO's id of the user; it never changes, unlike name and e-mail
    name: str
    email: str
