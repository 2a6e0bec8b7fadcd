from fastapi import APIRouter, Depends
from sqlmodel import Session, select

from app.database import get_session
from app.models import Product

router = APIRouter()


@router.get("/")
def list_products(session: Session = Depends(get_session)):
    return session.exec(select(Product)).all()
