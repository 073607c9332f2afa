"""What goes into the bundle of a backup: everything that is named, nothing that must stay out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aada_operator.core import bundle
from aada_operator.core.worker_jobs import SecretMount

SECRET: dict[str, Any] = {
    "metadata": {"name": "keys", "labels": {"team": "it"}},
    "type": "Opaque",
    "data": {"k": "Y2FuYXJ5"},
}


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ({"secrets": [{"name": "K", "secretRef": {"name": "keys", "key": "k"}}]}, {"keys": True}),
        ({"database": {"adminSecretRef": {"name": "admin"}, "caSecretRef": {"name": "ca", "key": "c"}}},
         {"admin": True, "ca": True}),
        ({"components": [{"envFrom": [{"secretRef": {"name": "a"}}, {"configMapRef": {"name": "no"}}]}]}, {"a": True}),
        ({"env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "e", "key": "k", "optional": True}}}]},
         {"e": False}),
        ({"host": "h", "tlsSecretName": "tls"}, {"tls": True}),
        ({"podTemplate": {"spec": {"imagePullSecrets": [{"name": "pull"}], "volumes": [
            {"name": "v", "secret": {"secretName": "vol"}},
            {"name": "p", "projected": {"sources": [{"secret": {"name": "proj"}}]}},
        ]}}}, {"pull": True, "vol": True, "proj": True}),
        ({"s3": {"credentialsSecretRef": {"name": "s3"}}}, {"s3": True}),
        ({"a": {"secretRef": {"name": "x", "optional": True}}, "b": {"secretRef": {"name": "x"}}}, {"x": True}),
        ({"secret": "a word", "secretName": None, "imagePullSecrets": "none"}, {}),
    ],
)  # fmt: skip
def test_a_secret_is_found_wherever_it_is_named(spec: dict[str, Any], names: dict[str, bool]) -> None:
    assert bundle.secrets_named(spec) == names


def test_the_private_key_of_the_backups_is_never_packed() -> None:
    encryption = {"verificationIdentitySecretRef": {"name": "identity", "key": "identity"}}
    assert bundle.secrets_named({"encryption": encryption}) == {}


def test_an_object_is_as_it_can_be_applied_again() -> None:
    body = {
        "apiVersion": "v1", "kind": "K", "spec": {"a": 1}, "status": {"b": 2},
        "metadata": {"name": "n", "namespace": "s", "uid": "u", "resourceVersion": "7", "managedFields": [],
                     "labels": {"team": "it"},
                     "annotations": {"note": "mine", "lms.aada.edu/reset-at": "1",
                                     "kubectl.kubernetes.io/last-applied-configuration": "{canary}"}},
    }  # fmt: skip
    assert bundle.stripped(body) == {
        "apiVersion": "v1",
        "kind": "K",
        "metadata": {"name": "n", "labels": {"team": "it"}, "annotations": {"note": "mine"}},
        "spec": {"a": 1},
    }


def test_an_order_has_names_and_mounts_but_no_content() -> None:
    order = bundle.order([], {"keys": SECRET, "gone": None}, encrypted=True)
    assert [(s.folder, s.name, s.labels) for s in order.secrets] == [("bundle-0", "keys", {"team": "it"})]
    assert order.missing == ["Secret/gone"]
    assert bundle.bundle_mounts(order) == (SecretMount("bundle-0", "keys", optional=True),)
    assert "Y2FuYXJ5" not in order.model_dump_json()


def test_without_encryption_no_secret_is_packed() -> None:
    order = bundle.order([], {"keys": SECRET, "gone": None}, encrypted=False)
    assert (order.secrets, order.missing) == ([], [])


def test_what_does_not_fit_into_a_task_is_left_out_and_told() -> None:
    large = {"apiVersion": "v1", "kind": "AadaLms", "metadata": {"name": "l"}, "spec": {"x": "y" * bundle.MOST_BYTES}}
    small = {"apiVersion": "v1", "kind": "BackupPolicy", "metadata": {"name": "p"}, "spec": {}}
    order = bundle.order([large, small], {}, encrypted=True)
    assert [body["metadata"]["name"] for body in order.objects] == ["p"]
    assert order.missing == ["AadaLms/l"]
    assert len(json.dumps(order.objects)) < 128 * 2**10
