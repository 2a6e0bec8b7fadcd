#!/bin/sh
set -e

echo "running migrations"
npm run db:migrate

exec "$@"
