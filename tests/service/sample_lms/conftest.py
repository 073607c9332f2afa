"""One server, one environment and one copy of each release for all tests of the sample LMS."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from tests.service.sample_lms.harness import DATABASE_PASSWORD, Release, RunningLms, application_python, serve
from tests.service.servers import PostgresServer, in_memory

NewDatabase = Callable[[], tuple[str, str]]
MakeRelease = Callable[[str], Release]
Serve = Callable[..., AbstractContextManager[RunningLms]]


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    """A server that takes the connections of one pod of a school, and the application's role."""
    with PostgresServer(in_memory(), max_connections="300") as running:
        running.execute(f"CREATE ROLE lms LOGIN PASSWORD '{DATABASE_PASSWORD}'")
        yield running


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> MakeRelease:
    """Return a release by its version."""
    python = application_python()
    made: dict[str, Release] = {}

    def make(version: str) -> Release:
        if version not in made:
            folder = tmp_path_factory.mktemp("releases") / version
            made[version] = Release.make(version, folder, python)
        return made[version]

    return make


@pytest.fixture(scope="session")
def new_database(server: PostgresServer) -> NewDatabase:
    """Make an empty database that the application's role owns: its name and the application's URL."""

    def make() -> tuple[str, str]:
        name = server.createdb(owner="lms")
        return name, f"postgresql+psycopg2://lms:{DATABASE_PASSWORD}@{server.host}:{server.port}/{name}"

    return make


@pytest.fixture(scope="module")
def school(new_database: NewDatabase, release: MakeRelease) -> tuple[str, str]:
    """A database of a school on v1.2.3 with 16 MB of rows: its name and the application's URL."""
    name, url = new_database()
    release("v1.2.3").migrate(url)
    filled = release("v1.2.3").run("python", "-m", "sample_lms.generate", "--size", "16MB", url=url)
    assert filled.returncode == 0, filled.stderr
    return name, url


@pytest.fixture(scope="session")
def start(release: MakeRelease, tmp_path_factory: pytest.TempPathFactory) -> Serve:
    """Run the API of a release against a database."""

    def run(url: str, version: str = "v1.2.3", **settings: str) -> AbstractContextManager[RunningLms]:
        return serve(release(version), url, tmp_path_factory.mktemp("log") / "lms.log", **settings)

    return run
