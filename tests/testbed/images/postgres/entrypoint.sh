#!/bin/sh
# Honours POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB and PGDATA (a folder below the volume); arguments go to postgres.
set -eu
: "${POSTGRES_USER:=postgres}" "${POSTGRES_DB:=$POSTGRES_USER}"

create() {
  : "${POSTGRES_PASSWORD:?is needed to initialise an empty data folder}"
  # Made beside its place and moved there when whole: a container killed half-way starts over.
  new="$PGDATA.new"
  rm -rf "$new"
  printf '%s\n' "$POSTGRES_PASSWORD" | initdb --pgdata="$new" --username="$POSTGRES_USER" --pwfile=/dev/stdin \
    --encoding=UTF8 --locale=C.UTF-8 --auth-local=trust --auth-host=scram-sha-256 --no-sync
  printf 'host all all all scram-sha-256\nhost replication all all scram-sha-256\n' >> "$new/pg_hba.conf"
  if [ "$POSTGRES_DB" != postgres ]; then
    printf 'CREATE DATABASE "%s";\n' "$POSTGRES_DB" | postgres --single -D "$new" postgres > /dev/null
  fi
  mv "$new" "$PGDATA"
}

[ -s "$PGDATA/PG_VERSION" ] || create
unset POSTGRES_PASSWORD
exec postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/tmp "$@"
