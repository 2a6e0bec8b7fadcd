#!/usr/bin/env bash
# What our stack relies on of the official image's entrypoint, and no more: see ../README.md.
set -Eeuo pipefail

# from_file NAME DEFAULT: NAME, else the content of the file that NAME_FILE names, else DEFAULT.
from_file() {
    local name=$1 file_name=${1}_FILE value=$2
    if [[ -n ${!name:-} && -n ${!file_name:-} ]]; then
        echo >&2 "error: both $name and $file_name are set (but are exclusive)"
        exit 1
    elif [[ -n ${!name:-} ]]; then
        value=${!name}
    elif [[ -n ${!file_name:-} ]]; then
        value=$(<"${!file_name}")
    fi
    export "$name=$value"
    unset "$file_name"
}

sql() {
    PGHOST='' PGHOSTADDR='' psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --no-password --no-psqlrc "$@"
}

refuse_what_the_official_image_refuses() {
    if [[ -z $POSTGRES_PASSWORD && ${POSTGRES_HOST_AUTH_METHOD:-} != trust ]]; then
        echo >&2 'Error: Database is uninitialized and superuser password is not specified.'
        echo >&2 '       You must specify POSTGRES_PASSWORD to a non-empty value for the superuser.'
        exit 1
    fi
    # Since 18 the volume belongs one folder higher: at the old place the data would not be kept.
    if mountpoint -q /var/lib/postgresql/data; then
        echo >&2 'Error: in 18+, mount the volume at /var/lib/postgresql, not at /var/lib/postgresql/data'
        exit 1
    fi
}

run_init_files() {
    local file
    for file in /docker-entrypoint-initdb.d/*; do
        case $file in
            '/docker-entrypoint-initdb.d/*') ;;  # the folder is empty
            *.sh)
                echo "$0: running $file"
                # Sourced when not executable, as the official image does.
                # shellcheck source=/dev/null
                if [[ -x $file ]]; then "$file"; else . "$file"; fi
                ;;
            *.sql) echo "$0: running $file"; sql --dbname "$POSTGRES_DB" -f "$file" ;;
            *.sql.gz) echo "$0: running $file"; gunzip -c "$file" | sql --dbname "$POSTGRES_DB" ;;
            *) echo "$0: ignoring $file" ;;
        esac
    done
}

# The first of the two phases: a server on the socket only, so that TCP answers no one too early.
first_phase() {
    # The wheel's own defaults are localhost and /tmp, where psql and pg_isready look too.
    # POSTGRES_INITDB_ARGS is a list of words.
    # shellcheck disable=SC2086
    initdb --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") \
        --set listen_addresses='*' --set unix_socket_directories=/var/run/postgresql,/tmp ${POSTGRES_INITDB_ARGS:-}
    printf '\nhost all all all %s\n' \
        "${POSTGRES_HOST_AUTH_METHOD:-$(postgres -C password_encryption "$@")}" >>"$PGDATA/pg_hba.conf"

    export PGPASSWORD=${PGPASSWORD:-$POSTGRES_PASSWORD}
    PGUSER=$POSTGRES_USER pg_ctl -D "$PGDATA" -w start \
        -o "$(printf '%q ' "$@" -c listen_addresses= -p "${PGPORT:-5432}")"
    if [[ $POSTGRES_DB != postgres ]]; then
        sql --dbname postgres --set db="$POSTGRES_DB" <<<'CREATE DATABASE :"db";'
    fi
    run_init_files
    pg_ctl -D "$PGDATA" -m fast -w stop
    unset PGPASSWORD
    printf '\nPostgreSQL init process complete; ready for start up.\n\n'
}

if [[ ${1:-} == -* ]]; then
    set -- postgres "$@"
fi
if [[ ${1:-} == postgres && " $* " != *' --version '* && " $* " != *' --help '* ]]; then
    if ((EUID == 0)); then
        mkdir -p "$PGDATA"
        chmod 700 "$PGDATA"
        find "$PGDATA" /var/run/postgresql ! -user postgres -exec chown postgres {} +
        exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
    fi
    mkdir -p "$PGDATA"
    if [[ -s $PGDATA/PG_VERSION ]]; then
        printf '\nPostgreSQL Database directory appears to contain a database; Skipping initialization\n\n'
    else
        from_file POSTGRES_PASSWORD ''
        from_file POSTGRES_USER postgres
        from_file POSTGRES_DB "$POSTGRES_USER"
        refuse_what_the_official_image_refuses
        first_phase "${@:2}"
    fi
fi
exec "$@"
