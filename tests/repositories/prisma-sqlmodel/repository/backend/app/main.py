from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from app.database import init_db
from app.routers import products

app = FastAPI()

app.add_middleware(CORSMiddleware, allow_origins=["http://localhost:3000"])


@app.on_event("startup")
def on_startup():
    init_db()


@app.get("/health")
def health_check():
    return {"status": "healthy"}


app.include_router(products.router, prefix="/products")
