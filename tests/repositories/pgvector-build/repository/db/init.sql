CREATE EXTENSION IF NOT EXISTS vector;

CREATE TABLE IF NOT EXISTS ingest_log (
  id bigserial PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT now()
);
