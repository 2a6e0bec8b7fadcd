from typing import Optional

from sqlmodel import Field, SQLModel


class PriceChange(SQLModel, table=True):
    id: Optional[int] = Field(default=None, primary_key=True)
    product_id: int = Field(foreign_key="product.id")
