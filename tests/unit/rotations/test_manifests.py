"""The Secrets of a rotation and its canary, compared with a golden file: a change of any field is seen in review.

Written anew with ``AADA_GOLDEN=write pytest tests/unit/rotations/test_manifests.py``; git then shows the change.
"""

import copy
import json
import os
from pathlib import Path

import pytest
import yaml

from aada_operator.api.common import LABEL_COMPONENT, LABEL_LMS
from aada_operator.core.resources import Object
from aada_operator.lms import manifests as lms_manifests
from aada_operator.lms.pod import ANNOTATION_SECRETS
from aada_operator.rotations import decide, manifests
from aada_operator.rotations.manifests import Revision
from aada_operator.rotations.publication import publication
from tests.unit.lms import samples as lms
from tests.unit.rotations.samples import at, live, owner

GOLDEN = Path(__file__).parent / "golden" / "rotation.yaml"
NOW = at("2026-03-01T04:00:00Z")
NEW = {"username": "aada_lms_b", "password": "new-password", "url": "postgresql://aada_lms_b:new-password@db/lms"}
APP = lms.spec(
    {"components": [{"name": "backend", "podTemplate": {"metadata": {"annotations": {"school.example/team": "lms"}}}}]}
)
MARK = "rotation.lms.aada.edu/login"
STAMP = {ANNOTATION_SECRETS: "0123456789abcdef", MARK: "login-r1"}


def deployment(**pod_spec: object) -> Object:
    """The Deployment of the application, as the AadaLms makes it."""
    made = lms_manifests.deployment(lms.owner(), APP, APP.api_component(), STAMP)
    made["spec"]["template"]["spec"] |= pod_spec
    return made


def fresh() -> Object:
    return manifests.fresh(owner(), "aada", 2, NEW, 1, NOW, "AlternatingRoles")


def canary(**pod_spec: object) -> Object:
    return manifests.canary(owner(), deployment(**pod_spec), "aada-db", Revision(fresh()))


def green() -> Object:
    return manifests.green(owner(), lms.owner(), deployment(), "aada-db", Revision(fresh()))


def documents() -> list[Object]:
    """Everything that one rotation makes."""
    kept = manifests.kept(owner(), "aada", live(annotations={MARK: "login-r1"}), 1)
    published = publication(Revision(fresh()).data, "login", "login-r2", NOW, NOW)
    return [kept, fresh(), canary(), green(), published]


def test_what_a_rotation_makes_is_as_reviewed() -> None:
    text = yaml.safe_dump_all(json.loads(json.dumps(documents())), sort_keys=False, width=120)
    if os.environ.get("AADA_GOLDEN") == "write":
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_nothing_of_the_parents_labels_reaches_a_child() -> None:
    """Argo CD would prune what carries its label and is not in git."""
    assert "argocd" not in str(documents())
    assert "last-applied" not in str(documents())


class TestRevision:
    def test_is_a_secret_that_nobody_can_change_and_that_no_deletion_takes_away(self) -> None:
        for body in documents()[:2]:
            assert body["immutable"] is True
            assert body["metadata"]["annotations"]["lms.aada.edu/rotation-uid"] == "uid-of-login"
            assert "ownerReferences" not in body["metadata"]

    def test_says_what_it_holds(self) -> None:
        revision = Revision(fresh())
        assert (revision.name, revision.number) == ("login-r2", 2)
        assert (revision.data["username"], revision.data["password"]) == ("aada_lms_b", "new-password")
        assert (revision.made_at, revision.converged_at, revision.rolled_back) == (NOW, None, None)

    def test_that_is_new_is_told_from_one_that_was_kept(self) -> None:
        kept, new = (Revision(body) for body in documents()[:2])
        assert (kept.is_new, new.is_new) == (False, True)

    def test_that_is_kept_is_the_applications_secret_to_the_byte(self) -> None:
        secret = live()
        secret["data"]["odd"] = "AAEC/w=="
        kept = manifests.kept(owner(), "aada", secret, 0)
        assert kept["data"] == secret["data"]
        assert kept["data"] is not secret["data"]

    def test_remembers_since_when_the_application_had_it(self) -> None:
        first = Revision(manifests.kept(owner(), "aada", live(), 0))
        assert first.made_at == at("2026-01-01T00:00:00Z")
        marks = {
            "rotated-at.lms.aada.edu/login": "2026-02-01T04:00:00Z",
            "rotated-at.lms.aada.edu/jwt": "2026-02-02T04:00:00Z",
        }
        assert Revision(manifests.kept(owner(), "aada", live(annotations=marks), 1)).made_at == at(
            "2026-02-01T04:00:00Z"
        )

    def test_shows_nothing_of_it_when_it_is_printed(self) -> None:
        assert "password" not in repr(Revision(fresh()))

    def test_tells_when_all_had_it_and_why_it_is_taken_back(self) -> None:
        body = fresh()
        body["metadata"]["annotations"] |= {
            "lms.aada.edu/converged-at": "2026-03-01T04:02:00Z",
            "lms.aada.edu/rolled-back": "CanaryFailed: no",
        }
        revision = Revision(body)
        assert (revision.converged_at, revision.rolled_back) == (at("2026-03-01T04:02:00Z"), "CanaryFailed: no")


class TestCanary:
    def test_is_found_by_no_service_and_no_deployment(self) -> None:
        (service,) = [
            b for r, b in lms_manifests.children(lms.owner(), APP, APP.api_component(), {}) if r.kind == "Service"
        ]
        labels = canary()["metadata"]["labels"]
        assert LABEL_COMPONENT not in labels
        assert labels[LABEL_LMS] == "aada"
        for selector in (service["spec"]["selector"], deployment()["spec"]["selector"]["matchLabels"]):
            assert not selector.items() <= labels.items()

    def test_is_as_the_pods_of_the_application_but_for_the_secret(self) -> None:
        template = deployment()["spec"]["template"]
        renamed = json.loads(json.dumps(template["spec"]).replace('"aada-db"', '"login-r2"'))
        assert canary()["spec"] == renamed
        assert "login-r2" in str(canary()["spec"])

    def test_has_the_annotations_of_others_and_the_revision_that_it_tries(self) -> None:
        assert canary()["metadata"]["annotations"] == {
            "school.example/team": "lms",
            MARK: "login-r2",
        }

    def test_names_the_new_secret_wherever_the_old_one_was(self) -> None:
        ours: Object = {"name": "URL", "valueFrom": {"secretKeyRef": {"name": "aada-db", "key": "url"}}}
        other: Object = {"name": "JWT", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "aada-db"}}}
        container: Object = {
            "name": "backend",
            "env": [ours, other, {"name": "PLAIN", "value": "aada-db"}],
            "envFrom": [{"secretRef": {"name": "aada-db"}}, {"configMapRef": {"name": "aada-db"}}],
        }
        volumes: list[Object] = [
            {"name": "files", "secret": {"secretName": "aada-db"}},
            {"name": "keys", "secret": {"secretName": "keys"}},
            {"name": "claim", "persistentVolumeClaim": {"claimName": "aada-db"}},
            {"name": "all", "projected": {"sources": [{"secret": {"name": "aada-db"}}, {"secret": {"name": "keys"}}]}},
        ]
        before: Object = {"containers": [container], "initContainers": [copy.deepcopy(container)], "volumes": volumes}
        spec = canary(**before)["spec"]
        for made in (spec["containers"][0], spec["initContainers"][0]):
            assert [v.get("valueFrom") for v in made["env"]] == [
                {"secretKeyRef": {"name": "login-r2", "key": "url"}},
                {"secretKeyRef": {"name": "keys", "key": "aada-db"}},
                None,
            ]
            assert made["env"][2]["value"] == "aada-db"
            assert made["envFrom"] == [{"secretRef": {"name": "login-r2"}}, {"configMapRef": {"name": "aada-db"}}]
        assert [volume.get("secret") for volume in spec["volumes"]] == [
            {"secretName": "login-r2"},
            {"secretName": "keys"},
            None,
            None,
        ]
        assert spec["volumes"][3]["projected"]["sources"] == [{"secret": {"name": n}} for n in ("login-r2", "keys")]
        assert not decide.uses(spec, "aada-db")

    def test_leaves_the_deployment_as_it_was(self) -> None:
        body = deployment()
        before = copy.deepcopy(body)
        manifests.canary(owner(), body, "aada-db", Revision(fresh()))
        assert body == before

    @pytest.mark.parametrize(
        ("conditions", "ready"),
        [
            ([], False),
            ([{"type": "Ready", "status": "False"}], False),
            ([{"type": "PodScheduled", "status": "True"}], False),
            ([{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "True"}], True),
        ],
    )
    def test_is_ready_once_its_probe_was_answered(self, conditions: list[Object], ready: bool) -> None:
        assert manifests.is_ready({"status": {"conditions": conditions}}) is ready
        assert not manifests.is_ready({})


class TestGreen:
    def test_is_found_by_a_service_that_is_told_to_and_by_no_other(self) -> None:
        labels = green()["spec"]["template"]["metadata"]["labels"]
        component = APP.api_component()
        own = lms_manifests.service(lms.owner(), component)["spec"]["selector"]
        told = lms_manifests.service(lms.owner(), component, stood_in=True)["spec"]["selector"]
        assert not own.items() <= labels.items()
        assert told.items() <= labels.items()
        assert not told.items() <= deployment()["spec"]["template"]["metadata"]["labels"].items()
        assert own.keys() == told.keys(), "a merge of both must find one of them"

    def test_selects_its_own_pods_and_none_of_the_application(self) -> None:
        selector = green()["spec"]["selector"]["matchLabels"].items()
        assert selector <= green()["spec"]["template"]["metadata"]["labels"].items()
        assert not selector <= deployment()["spec"]["template"]["metadata"]["labels"].items()
        others = deployment()["spec"]["selector"]["matchLabels"].items()
        assert not others <= green()["spec"]["template"]["metadata"]["labels"].items()

    def test_has_as_many_pods_as_the_application_and_they_differ_by_the_secret_alone(self) -> None:
        assert green()["spec"]["replicas"] == deployment()["spec"]["replicas"]
        assert green()["spec"]["template"]["spec"] == canary()["spec"]
        assert green()["spec"]["template"]["metadata"]["annotations"] == canary()["metadata"]["annotations"]

    def test_goes_with_the_aadalms_and_not_with_the_rotation(self) -> None:
        (reference,) = green()["metadata"]["ownerReferences"]
        assert (reference["kind"], reference["uid"]) == ("AadaLms", lms.UID)

    def test_is_no_child_that_the_aadalms_would_remove(self) -> None:
        assert green()["metadata"]["labels"]["lms.aada.edu/owner"] == "secretrotation"


def test_what_is_no_text_cannot_be_read_as_a_login() -> None:
    with pytest.raises(ValueError, match="utf-8"):
        manifests.values({"data": {"username": "//8="}})
    assert manifests.values({}) == {}
