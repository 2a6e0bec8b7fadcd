from decimal import Decimal

from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy import select

from .db import SessionLocal
from .models import Invoice, InvoiceLine

app = FastAPI(title="billing")


class NewInvoice(BaseModel):
    customer: str
    text: str
    amount: Decimal


@app.get("/health")
def health():
    return "ok"


@app.get("/invoices")
def invoices():
    with SessionLocal() as session:
        return [{"id": one.id, "customer": one.customer} for one in session.scalars(select(Invoice).order_by(Invoice.id))]


@app.post("/invoices", status_code=201)
def bill(new: NewInvoice):
    with SessionLocal.begin() as session:
        invoice = Invoice(customer=new.customer, lines=[InvoiceLine(text=new.text, amount=new.amount)])
        session.add(invoice)
        session.flush()
        return {"id": invoice.id}
