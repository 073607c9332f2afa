"""Where a cluster keeps its things."""

from pathlib import Path

import pytest

from tests.testbed.layout import Layout, cache_folder, cluster_name, worker_cluster_name
from tests.testbed.leftovers import of_test_workers


@pytest.fixture(autouse=True)
def no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AADA_CLUSTER", "AADA_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)


def test_two_checkouts_of_the_same_name_have_two_clusters() -> None:
    assert cluster_name(Path("/home/ann/aada")) != cluster_name(Path("/home/bob/aada"))


def test_a_checkout_has_the_same_cluster_every_time() -> None:
    assert cluster_name(Path("/home/ann/aada")) == cluster_name(Path("/home/ann/aada"))


@pytest.mark.parametrize("checkout", ["/srv/Ünïcode (old) copy", "/srv/---", "/srv/" + "x" * 200])
def test_any_checkout_gives_a_name_that_can_be_a_dns_label(checkout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = cluster_name(Path(checkout))
    monkeypatch.setenv("AADA_CLUSTER", name)
    assert cluster_name() == name


def test_the_user_names_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AADA_CLUSTER", "second")
    assert cluster_name() == "second"


@pytest.mark.parametrize("name", ["", "Upper", "../../etc", "a b", "-a", "a-", "x" * 41])
def test_a_name_that_could_leave_the_cache_or_break_a_path_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AADA_CLUSTER", name)
    with pytest.raises(ValueError, match="AADA_CLUSTER"):
        cluster_name()


@pytest.mark.parametrize("name", ["school", "x" * 40])
def test_clusters_of_test_workers_are_found_again_beside_the_checkouts_own(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AADA_CLUSTER", name)
    monkeypatch.setenv("AADA_CACHE", str(tmp_path))
    workers = {worker_cluster_name(worker) for worker in ("gw0", "gw11")}
    for cluster in (*workers, name, "another-gw0"):
        Layout(cluster, tmp_path).state.mkdir(parents=True)
    assert {layout.name for layout in of_test_workers(Layout.current())} == workers


def test_the_cache_is_where_the_user_or_the_desktop_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    assert cache_folder() == Path("/home/ann/.cache/aada-operator")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/ann")
    assert cache_folder() == Path("/var/cache/ann/aada-operator")
    monkeypatch.setenv("AADA_CACHE", "/big/disk")
    assert cache_folder() == Path("/big/disk")


def test_clusters_share_programs_and_nothing_else() -> None:
    one, two = Layout("one", Path("/cache")), Layout("two", Path("/cache"))
    for attribute in ("state", "image_store", "lock", "kubeconfig", "audit_log", "cgroup"):
        assert getattr(one, attribute) != getattr(two, attribute)


def test_clusters_of_the_same_name_in_two_caches_share_nothing() -> None:
    one, two = Layout("one", Path("/cache")), Layout("one", Path("/other"))
    for attribute in ("state", "image_store", "lock", "kubeconfig", "audit_log", "cgroup"):
        assert getattr(one, attribute) != getattr(two, attribute)
