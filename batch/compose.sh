#!/bin/sh
# `almanac` in the container of docker-compose.yml. However it is called, by `docker compose exec` too, which
# passes an entry point by, its URLs have the passwords of the secrets.
set -eu

redis=$(cat /run/secrets/redis_batch_password)
postgres=$(cat /run/secrets/postgres_password)
export ALMANAC_REDIS_URL="redis://batch:$redis@redis:6379/0"
export ALMANAC_DATABASE_URL="postgresql+psycopg://almanac:$postgres@postgres:5432/almanac"

exec /venv/bin/python -m batch "$@"
