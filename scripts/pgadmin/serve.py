"""Serve pgAdmin with waitress, as a local process that keeps all its state in the folder BOOTORDER_DATA_DIR."""

import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

GROUP = "bootorder"


def variable(name: str, default: str = "") -> str:
    return os.environ.get(name) or default or sys.exit(f"error: {name} is missing")


def port_of(name: str, default: str = "") -> int:
    value = variable(name, default)
    return int(value) if value.isdecimal() else sys.exit(f"error: {name} is not a port: {value!r}")


def load_app(data: Path, email: str, password: str) -> Any:
    """Return pgAdmin's application; when there is no database yet, make it, with this user."""
    # pgAdmin imports these two to override its settings. Made here, they need no file in site-packages, and keep out
    # what /etc/pgadmin says of an installed pgAdmin. The paths of all that it writes follow from DATA_DIR.
    settings = ModuleType("config_local")
    vars(settings).update(SERVER_MODE=True, DATA_DIR=str(data), UPGRADE_CHECK_ENABLED=False)
    sys.modules["config_local"] = sys.modules["config_system"] = settings
    os.environ["PGADMIN_SETUP_EMAIL"] = email
    os.environ["PGADMIN_SETUP_PASSWORD"] = password
    from pgadmin4.pgAdmin4 import app

    return app


def register_server(app: Any, name: str, port: int, **columns: str) -> None:
    """Add the server with its group, once: the group then tells that its user may have changed or removed it."""
    from pgadmin.model import Server, ServerGroup, db

    with app.app_context():
        if group := ServerGroup.query.filter_by(name=GROUP).first():
            Server.query.filter_by(servergroup_id=group.id, name=name).update({"port": port})
        else:
            owner = 1  # the user that pgAdmin made with its database
            group = ServerGroup(name=GROUP, user_id=owner)
            parameters = {"sslmode": "prefer", "connect_timeout": 10}
            flags = ("save_password", "shared", "use_ssh_tunnel", "tunnel_authentication", "tunnel_prompt_password")
            off = dict.fromkeys(flags, 0)
            new = Server(user_id=owner, name=name, port=port, connection_params=parameters, **off, **columns)
            new.servergroup = group
            db.session.add(new)
        db.session.commit()


def main() -> None:
    # All are read before the imports, which take seconds.
    address = (variable("HOST", "127.0.0.1"), port_of("PORT", "5050"))
    data = Path(variable("BOOTORDER_DATA_DIR")).resolve()
    email, password = variable("PGADMIN_DEFAULT_EMAIL"), variable("PGADMIN_DEFAULT_PASSWORD")
    name, port = variable("PGADMIN_SERVER_NAME"), port_of("PGADMIN_SERVER_PORT")
    columns = {
        "host": variable("PGADMIN_SERVER_HOST"),
        "maintenance_db": variable("PGADMIN_SERVER_DATABASE"),
        "username": variable("PGADMIN_SERVER_USER"),
    }

    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = data / "unfinished"
    if unfinished.exists():  # pgAdmin fails on a database whose making was cut short
        for file in data.glob("pgadmin4.db*"):
            file.unlink()
    elif not (data / "pgadmin4.db").exists():
        unfinished.touch()
    app = load_app(data, email, password)
    register_server(app, name, port, **columns)
    unfinished.unlink(missing_ok=True)

    from waitress import create_server  # and not serve, which also logs pgAdmin's debug messages

    # SIGTERM ends it at once, as it ends any Python: SQLite survives that. Long polls of open tabs hold threads.
    create_server(app, host=address[0], port=address[1], threads=25).run()


if __name__ == "__main__":
    main()
