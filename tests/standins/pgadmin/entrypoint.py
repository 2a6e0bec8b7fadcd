"""Start pgAdmin as the official image does, as far as our stack relies on it: see ../README.md."""

import os
import signal
import sys
from pathlib import Path

HOME = Path("/pgadmin4")
DATA = Path("/var/lib/pgadmin")


def required(name: str) -> str:
    """Return the variable, or the content of the file that NAME_FILE names; end with 1 without either."""
    value = os.environ.get(name)
    if not value and (file := os.environ.get(f"{name}_FILE")):
        value = Path(file).read_text().strip()
    if not value:
        sys.exit(f"You need to define {name} or {name}_FILE.")
    return value


def write_config() -> None:
    """Turn each PGADMIN_CONFIG_X=python-literal into a setting."""
    prefix = "PGADMIN_CONFIG_"
    settings = {k.removeprefix(prefix): v for k, v in os.environ.items() if k.startswith(prefix)}
    lines = [f"DATA_DIR = {str(DATA)!r}", *(f"{name} = {value}" for name, value in settings.items())]
    (HOME / "config_local.py").write_text("\n".join(lines) + "\n")


def main() -> None:
    # Nothing is worth waiting for: pgAdmin keeps its state in SQLite, which survives a kill.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    first_start = not (DATA / "pgadmin4.db").exists()
    if first_start:
        os.environ["PGADMIN_SETUP_EMAIL"] = required("PGADMIN_DEFAULT_EMAIL")
        os.environ["PGADMIN_SETUP_PASSWORD"] = required("PGADMIN_DEFAULT_PASSWORD")
    os.environ["PGADMIN_SERVER_MODE"] = "ON"
    write_config()

    sys.path.insert(0, str(HOME))
    import config  # noqa: F401  pgAdmin's modules can only be imported after it
    from pgadmin.utils.validation_utils import validate_email

    email = os.environ.get("PGADMIN_SETUP_EMAIL")
    if first_start and not validate_email(email):
        sys.exit(f"{email!r} does not appear to be a valid email address")

    from pgAdmin4 import app  # makes the database with the user when there is none

    servers = Path(os.environ.get("PGADMIN_SERVER_JSON_FILE", HOME / "servers.json"))
    if first_start and servers.exists():
        from pgadmin.utils import load_database_servers
        from pgadmin.utils.constants import INTERNAL

        with app.test_request_context():
            load_database_servers(str(servers), None, email, True, INTERNAL)

    from waitress import serve

    port = int(os.environ.get("PGADMIN_LISTEN_PORT", "80"))
    serve(app, host="0.0.0.0", port=port, threads=8)  # noqa: S104  the network is the container's own


main()
