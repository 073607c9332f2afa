"""Objects on a real S3 server: written once, streamed with bounded memory, and every fault said in our own words."""

from __future__ import annotations

import hashlib
import io
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from aada_operator.adapters.object_store import PATIENT, ObjectStore
from aada_operator.adapters.s3_client import AccessKeys, KeySource, make_client, mounted_keys
from aada_operator.api.task import S3Location
from aada_operator.core.clock import SystemClock
from aada_operator.core.errors import OperatorError, Stalled, Waiting
from aada_operator.worker.leftovers import abort_stale_uploads
from tests.service.faults import FaultyS3
from tests.service.servers import S3Server, free_port

MIB = 2**20
LIFECYCLE = (
    b'<LifecycleConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Rule><ID>old</ID>'
    b"<Filter><Prefix>a/</Prefix></Filter><Status>Enabled</Status><Expiration><Days>9</Days></Expiration></Rule>"
    b"</LifecycleConfiguration>"
)
RULE = {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": "a/"}, "Expiration": {"Days": 9}}


class Answer(io.BytesIO):
    """The body of a response, as the client library reads it."""

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        yield self.read()


@pytest.fixture
def keys(s3: S3Server) -> KeySource:
    return lambda: AccessKeys(s3.access_key, s3.secret_key)


@pytest.fixture
def store(s3: S3Server, bucket: str, keys: KeySource) -> ObjectStore:
    return ObjectStore(s3.location(bucket), keys)


class TestWriteOnce:
    def test_a_new_key_is_written_and_says_so(self, store: ObjectStore) -> None:
        assert store.put_if_absent("a/manifest.json", b"{}") is True
        assert store.get("a/manifest.json") == b"{}"

    def test_the_same_bytes_again_are_a_success_that_wrote_nothing(self, store: ObjectStore) -> None:
        store.put_if_absent("a", b"one")
        assert store.put_if_absent("a", b"one") is False

    def test_other_bytes_are_refused_and_the_first_stay(self, store: ObjectStore) -> None:
        store.put_if_absent("a", b"one")
        with pytest.raises(Stalled) as refused:
            store.put_if_absent("a", b"two")
        assert refused.value.reason == "ManifestConflict"
        assert store.get("a") == b"one"

    def test_of_two_writers_at_once_one_wins(self, s3: S3Server, bucket: str, keys: KeySource) -> None:
        barrier = threading.Barrier(8)
        outcomes: list[bool | str] = []

        def write(number: int) -> None:
            store = ObjectStore(s3.location(bucket), keys)
            store.get("race")
            barrier.wait()
            try:
                outcomes.append(store.put_if_absent("race", f"writer {number}".encode()))
            except OperatorError as lost:
                outcomes.append(lost.reason)

        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(map(str, outcomes)) == ["ManifestConflict"] * 7 + ["True"]

    def test_the_hash_travels_with_the_object(self, s3: S3Server, bucket: str, store: ObjectStore) -> None:
        store.put_if_absent("a", b"one")
        metadata = s3.client().head_object(Bucket=bucket, Key="a")["Metadata"]
        assert metadata["sha256"] == hashlib.sha256(b"one").hexdigest()


class TestStreams:
    @pytest.mark.parametrize("size", [0, 1, 5 * MIB, 8 * MIB, 8 * MIB + 1, 41 * MIB + 7])
    def test_any_size_comes_back_as_it_was(self, store: ObjectStore, size: int) -> None:
        data = random.Random(size).randbytes(size)
        stored = store.upload("big", io.BytesIO(data))
        back = _Sink()
        store.download("big", back)
        assert (stored.size, stored.sha256) == (size, hashlib.sha256(data).hexdigest())
        assert back.data == data
        assert store.size("big") == size

    def test_a_reader_that_fails_leaves_neither_object_nor_parts(
        self, s3: S3Server, bucket: str, store: ObjectStore
    ) -> None:
        class Breaking:
            left = 3

            def read(self, size: int = -1, /) -> bytes:
                self.left -= 1
                if not self.left:
                    raise Stalled("DumpFailed", "pg_dump died")
                return b"x" * size

        with pytest.raises(Stalled, match="pg_dump died"):
            store.upload("half", Breaking())
        assert store.size("half") is None
        assert not s3.client().list_multipart_uploads(Bucket=bucket).get("Uploads")

    def test_a_writer_that_fails_ends_the_download_with_its_own_error(self, store: ObjectStore) -> None:
        class Full:
            def write(self, _: bytes, /) -> None:
                raise OSError("disk full")

        store.upload("a", io.BytesIO(b"x" * 20 * MIB))
        with pytest.raises(OSError, match="disk full"):
            store.download("a", Full())

    def test_a_download_survives_a_server_that_restarts(self, s3: S3Server, bucket: str, keys: KeySource) -> None:
        store = ObjectStore(s3.location(bucket), keys, attempts=PATIENT)
        data = random.Random(1).randbytes(40 * MIB)
        store.upload("a", io.BytesIO(data))
        begun, go_on = threading.Event(), threading.Event()

        def hold() -> None:
            begun.set()
            go_on.wait(10)

        back = _Sink(at_bytes=9 * MIB, then=hold)
        download = threading.Thread(target=store.download, args=("a", back))
        download.start()
        assert begun.wait(10)
        s3.stop()
        go_on.set()
        s3.start()
        download.join()
        assert back.data == data

    def test_a_missing_object_is_said_to_be_missing(self, store: ObjectStore) -> None:
        with pytest.raises(Stalled) as error:
            store.download("nope", io.BytesIO())
        assert error.value.reason == "Corrupt"
        assert "nope is missing" in error.value.message

    def test_the_head_of_an_object_is_read_without_the_rest(self, store: ObjectStore) -> None:
        store.upload("a", io.BytesIO(b"header" + bytes(20 * MIB)))
        assert store.get("a", first=6) == b"header"


class TestListing:
    def test_only_keys_below_the_prefix_are_listed(self, store: ObjectStore) -> None:
        for key in ("p/a", "p/b/c", "q/d"):
            store.put_if_absent(key, b"12")
        assert [(found.key, found.size) for found in store.list("p/")] == [("p/a", 2), ("p/b/c", 2)]

    def test_folders_are_those_right_below_and_objects_are_none(self, store: ObjectStore) -> None:
        for key in ("p/a", "p/b/c", "p/b/d", "p/e/f/g", "q/h/i"):
            store.put_if_absent(key, b"12")
        assert list(store.folders("p/")) == ["b", "e"]
        assert list(store.folders("nothing/")) == []

    def test_the_servers_time_is_that_of_its_objects(self, store: ObjectStore) -> None:
        before = store.time()
        store.put_if_absent("p/a", b"12")
        (found,) = store.list("p/")
        # A server may renew the Date of its answers only once a second, so that it lags the times of its objects.
        assert before <= found.modified.replace(microsecond=0) <= store.time() + timedelta(seconds=1)

    def test_absent_is_none_and_not_an_error(self, store: ObjectStore) -> None:
        assert store.get("nope") is None
        assert store.size("nope") is None


class TestStaleUploads:
    def test_only_old_uploads_below_our_prefix_are_aborted(self, s3: S3Server, bucket: str, store: ObjectStore) -> None:
        for key in ("ours/a", "theirs/b"):
            s3.client().create_multipart_upload(Bucket=bucket, Key=key)
        assert store.abort_stale_uploads("ours/") == 0
        assert store.abort_stale_uploads("ours/", timedelta(seconds=-5)) == 1
        left = s3.client().list_multipart_uploads(Bucket=bucket)["Uploads"]
        assert [upload["Key"] for upload in left] == ["theirs/b"]

    def test_a_worker_whose_clock_is_ahead_aborts_nothing_that_is_under_way(
        self, s3: S3Server, bucket: str, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        s3.client().create_multipart_upload(Bucket=bucket, Key="ours/a")
        tomorrow = datetime.now(UTC) + timedelta(hours=25)
        monkeypatch.setattr(SystemClock, "now", lambda _: tomorrow)
        abort_stale_uploads(store, "ours")
        assert len(s3.client().list_multipart_uploads(Bucket=bucket).get("Uploads", [])) == 1


class TestAnswersThatBreakOff:
    @pytest.fixture
    def faulty(self, s3: S3Server) -> Iterator[FaultyS3]:
        with FaultyS3(s3) as proxy:
            yield proxy

    @pytest.fixture
    def distant(self, faulty: FaultyS3, bucket: str, keys: KeySource) -> ObjectStore:
        location = S3Location(bucket=bucket, endpoint=faulty.endpoint, allow_local_endpoint=True)
        return ObjectStore(location, keys)

    def test_an_object_is_asked_for_again(self, faulty: FaultyS3, distant: ObjectStore, store: ObjectStore) -> None:
        content = random.Random(1).randbytes(MIB)
        store.write("chunk", content)
        faulty.broken = 3
        assert distant.read("chunk") == content
        assert faulty.asked == 4

    def test_but_not_for_ever(self, faulty: FaultyS3, distant: ObjectStore, store: ObjectStore) -> None:
        store.write("chunk", bytes(MIB))
        faulty.broken = 100
        with pytest.raises(Waiting) as lost:
            distant.read("chunk")
        assert lost.value.reason == "StorageUnreachable"
        assert faulty.asked < 10

    def test_one_that_is_not_there_is_damage(self, distant: ObjectStore) -> None:
        with pytest.raises(Stalled) as missing:
            distant.read("absent")
        assert missing.value.reason == "Corrupt"


class TestMaxRate:
    """The limit is of all uploads together, whichever way they go; twice the time that is asserted is expected."""

    @pytest.fixture
    def limited(self, s3: S3Server, bucket: str, keys: KeySource) -> ObjectStore:
        return ObjectStore(s3.location(bucket), keys, max_rate=4 * MIB)

    def test_chunks_of_several_threads_share_it(self, limited: ObjectStore) -> None:
        began = time.monotonic()
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda number: limited.write(f"chunk-{number}", bytes(2 * MIB)), range(8)))
        assert time.monotonic() - began > 2
        assert {found.size for found in limited.list("chunk-")} == {2 * MIB}

    def test_archives_in_several_parts_do(self, limited: ObjectStore) -> None:
        began = time.monotonic()
        content = bytes(16 * MIB)
        stored = limited.upload("archive", io.BytesIO(content))
        assert time.monotonic() - began > 2
        assert stored.sha256 == hashlib.sha256(content).hexdigest()
        assert limited.size("archive") == 16 * MIB

    def test_a_failing_reader_leaves_nothing_there_either(
        self, limited: ObjectStore, s3: S3Server, bucket: str
    ) -> None:
        class Failing(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                if self.tell() > 8 * MIB:
                    raise Stalled("Corrupt", "halfway")
                return super().read(size)

        with pytest.raises(Stalled, match="halfway"):
            limited.upload("archive", Failing(bytes(16 * MIB)))
        assert s3.keys(bucket) == []
        assert s3.client().list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []

    def test_reading_is_not_limited(self, limited: ObjectStore, store: ObjectStore) -> None:
        store.write("large", bytes(32 * MIB))
        began = time.monotonic()
        assert len(limited.read("large")) == 32 * MIB
        assert time.monotonic() - began < 4


class TestProbe:
    def test_a_good_server_can_do_everything_and_nothing_is_left(
        self, s3: S3Server, bucket: str, store: ObjectStore
    ) -> None:
        found = store.probe("backups")
        assert found.conditional_writes
        assert found.deletes
        assert s3.keys(bucket) == []


class TestSettings:
    def test_of_a_server_that_has_no_such_rules_are_not_told_and_no_error(self, store: ObjectStore) -> None:
        assert store.settings().lifecycle is None

    def test_a_new_bucket_is_not_versioned(self, store: ObjectStore) -> None:
        assert store.settings().versioned is False

    @pytest.mark.parametrize(
        ("answer", "lifecycle"),
        [
            ((200, LIFECYCLE), [RULE]),
            ((404, b"<Error><Code>NoSuchLifecycleConfiguration</Code></Error>"), []),
            ((403, b"<Error><Code>AccessDenied</Code></Error>"), None),
        ],
        ids=["rules", "no rules", "not for this key"],
    )
    def test_are_what_the_server_says(
        self, store: ObjectStore, monkeypatch: pytest.MonkeyPatch, answer: tuple[int, bytes], lifecycle: Any
    ) -> None:
        """As AWS answers; the server of these tests has no lifecycle rules."""

        def told(*arguments: Any) -> Any:
            client = make_client(*arguments)
            say = cast("Any", lambda **_: AWSResponse("", answer[0], HTTPHeaders(), Answer(answer[1])))
            client.meta.events.register("before-send.s3.GetBucketLifecycleConfiguration", say)
            return client

        monkeypatch.setattr("aada_operator.adapters.object_store.make_client", told)
        assert store.settings().lifecycle == lifecycle


class TestServerThatIgnoresConditions:
    """Some servers overwrite whatever the condition says."""

    @pytest.fixture
    def store(self, s3: S3Server, bucket: str, keys: KeySource, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
        def deaf(*arguments: Any) -> Any:
            client = make_client(*arguments)
            forget = cast("Any", lambda params, **_: params.pop("IfNoneMatch", None))
            client.meta.events.register("before-parameter-build.s3.PutObject", forget)
            return client

        monkeypatch.setattr("aada_operator.adapters.object_store.make_client", deaf)
        return ObjectStore(s3.location(bucket), keys)

    def test_the_probe_tells(self, store: ObjectStore) -> None:
        assert store.probe("p").conditional_writes is False

    def test_what_is_there_is_still_not_written_over(self, store: ObjectStore) -> None:
        store.put_if_absent("a", b"one")
        assert store.put_if_absent("a", b"one") is False
        with pytest.raises(Stalled):
            store.put_if_absent("a", b"two")
        assert store.get("a") == b"one"


class TestFaults:
    def _reason(self, store: ObjectStore, call: Callable[[ObjectStore], object] | None = None) -> tuple[str, str]:
        with pytest.raises(Waiting) as error:
            (call or (lambda it: it.probe("p")))(store)
        return error.value.reason, error.value.message

    def test_a_bucket_that_does_not_exist(self, s3: S3Server, keys: KeySource) -> None:
        store = ObjectStore(s3.location("no-such-bucket"), keys)
        for call in (lambda it: it.probe("p"), lambda it: it.size("k"), lambda it: it.get("k")):
            reason, message = self._reason(store, call)
            assert reason == "BucketNotFound"
            assert "no-such-bucket" in message
        assert self._reason(store, lambda it: it.upload("k", io.BytesIO(bytes(9 * MIB))))[0] == "BucketNotFound"

    def test_an_unknown_access_key(self, s3: S3Server, bucket: str) -> None:
        store = ObjectStore(s3.location(bucket), lambda: AccessKeys("canary-unknown", "canary-secret"))
        for call in (lambda it: it.probe("p"), lambda it: it.size("k"), lambda it: it.download("k", io.BytesIO())):
            reason, message = self._reason(store, call)
            assert reason == "StorageAccessDenied"
            assert "canary" not in message

    def test_a_wrong_secret_key(self, s3: S3Server, bucket: str) -> None:
        store = ObjectStore(s3.location(bucket), lambda: AccessKeys(s3.access_key, "canary-wrong"))
        reason, message = self._reason(store)
        assert reason == "StorageAccessDenied"
        assert "secret key" in message
        assert "canary" not in message

    def test_nobody_listens(self, keys: KeySource) -> None:
        location = S3Location(bucket="b-1", endpoint=f"http://127.0.0.1:{free_port()}", allow_local_endpoint=True)
        assert self._reason(ObjectStore(location, keys))[0] == "StorageUnreachable"

    def test_a_name_that_cannot_be_resolved(self, keys: KeySource) -> None:
        location = S3Location(bucket="b-1", endpoint="http://s3.nowhere.invalid")
        reason, message = self._reason(ObjectStore(location, keys))
        assert reason == "StorageUnreachable"
        assert "s3.nowhere.invalid" in message

    def test_tls_where_none_is_spoken(self, s3: S3Server, keys: KeySource) -> None:
        location = S3Location(bucket="b-1", endpoint=s3.endpoint.replace("http:", "https:"), allow_local_endpoint=True)
        reason, message = self._reason(ObjectStore(location, keys))
        assert reason == "StorageUnreachable"
        assert "TLS" in message


class TestEndpointSafety:
    @pytest.mark.parametrize(
        "host", ["127.0.0.1", "localhost", "169.254.169.254", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]", "[fe80::1]"]
    )
    def test_this_machine_and_the_metadata_service_are_refused(self, keys: KeySource, host: str) -> None:
        store = ObjectStore(S3Location(bucket="b-1", endpoint=f"http://{host}:80"), keys)
        with pytest.raises(Stalled) as refused:
            store.probe("p")
        assert "not allowed" in refused.value.message


class TestRotation:
    def test_a_denied_request_is_signed_once_more_with_what_the_files_say_then(self, s3: S3Server, bucket: str) -> None:
        answers = iter([AccessKeys(s3.access_key, "old")])
        store = ObjectStore(s3.location(bucket), lambda: next(answers, AccessKeys(s3.access_key, s3.secret_key)))
        assert store.get("nope") is None

    def test_new_files_are_used_by_the_next_request(self, s3: S3Server, bucket: str, tmp_path: Path) -> None:
        (tmp_path / "AWS_ACCESS_KEY_ID").write_text("old")
        (tmp_path / "AWS_SECRET_ACCESS_KEY").write_text("old")
        store = ObjectStore(s3.location(bucket), mounted_keys(tmp_path))
        with pytest.raises(Waiting):
            store.get("nope")
        (tmp_path / "AWS_ACCESS_KEY_ID").write_text(s3.access_key + "\n")
        (tmp_path / "AWS_SECRET_ACCESS_KEY").write_text(s3.secret_key + "\n")
        assert store.get("nope") is None


class _Sink:
    """Collects what is written, and may do something once at a given point."""

    def __init__(self, at_bytes: int = 0, then: Callable[[], object] | None = None) -> None:
        self.data = bytearray()
        self._at, self._then = at_bytes, then

    def write(self, data: bytes, /) -> None:
        self.data += data
        if self._then and len(self.data) >= self._at:
            then, self._then = self._then, None
            then()
