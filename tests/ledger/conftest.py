"""A PostgreSQL server of Debian's package, for the time of the tests."""

import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The address of a server's database; PostgreSQL does not run as root."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        pytest.skip("needs Debian's postgresql")
    pytest.importorskip("psycopg", reason="needs the extra postgresql")
    as_user = []
    with tempfile.TemporaryDirectory(prefix="edgekit-postgresql-") as folder:
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(folder, user.pw_uid, user.pw_gid)
            as_user = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]

        def run(program: str, *arguments: str) -> None:
            command = [*as_user, str(programs[-1] / program), *arguments]
            subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120)

        run("initdb", "-D", f"{folder}/data", "--auth=trust", "--username=edgekit", "--no-sync", "--encoding=UTF8")
        # Its socket alone: no port that another server may have.
        options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off"
        run("pg_ctl", "-D", f"{folder}/data", "-w", "-l", f"{folder}/log", "-o", options, "start")
        try:
            yield f"postgresql+psycopg://edgekit@/postgres?host={folder}"
        finally:
            run("pg_ctl", "-D", f"{folder}/data", "-m", "fast", "stop")


@pytest.fixture
def postgresql(postgresql_server: str) -> str:
    """The address of an empty database; one for all tests, because making one takes long."""
    engine = create_engine(postgresql_server)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
    engine.dispose()
    return postgresql_server
