"""How much of a list one answer holds."""

from typing import Annotated

from fastapi import Query

MOST = 500

Limit = Annotated[int, Query(ge=1, le=MOST)]
Offset = Annotated[int, Query(ge=0, le=2**31 - 1)]
