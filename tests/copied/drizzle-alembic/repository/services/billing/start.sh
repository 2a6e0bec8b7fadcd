set -e
alembic upgrade head
exec uvicorn billing.main:app --host 0.0.0.0 --port 8000
