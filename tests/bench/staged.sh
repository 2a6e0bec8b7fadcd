#!/usr/bin/env bash
# A stack booted by a script, as people write it by hand; compose.yaml with staged.yaml is what they have beside it.
set -eu

docker compose up -d postgres
until docker compose exec -T postgres pg_isready -U taskflow; do
  sleep 2
done
sleep 10 # health: pg_isready is true while the image is still making the database

docker compose run --rm sso-setup pnpm db:push
docker compose run --rm sso-setup pnpm seed:setup

docker compose up -d
for url in \
  "http://localhost:$SSO_PORT/api/health" \
  "http://localhost:$API_PORT/health" \
  "http://localhost:$WEB_PORT/health"; do
  until curl --fail --silent --output /dev/null "$url"; do
    sleep 2
  done
done
