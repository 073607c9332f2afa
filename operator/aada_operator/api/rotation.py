"""SecretRotation: a credential of an LMS that is replaced on schedule, with a proof that the old one is dead."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from aada_operator.api.common import (
    GROUP,
    Column,
    CommonStatus,
    CronExpression,
    Duration,
    LocalRef,
    Model,
    Resource,
    SecretKeyRef,
    StatusModel,
    StepStatus,
    Timestamp,
    TimeZone,
    rules,
    seconds,
)
from aada_operator.api.credential import Consumer, Generator, Jwt, Store, Verification

# A time: whatever was not rotated since then is rotated now.
ANNOTATION_ROTATE_AT = f"{GROUP}/rotate-at"
_OTHER_LMS = "lmsRef: cannot be changed, since a rotation may be under way: make another SecretRotation"
_WHICH_SECRET = "secretRef: names the key of type Generic, and of no other type"  # noqa: S105 - a message
_STORED = "store: only the login of type DatabasePassword is kept in step with a store"
_VERIFIES = "verify: only type Generic is verified by a request or a command: leave it out"
_REVOKES = "jwt: revokeSql revokes tokens of type JwtSigningKey, and of no other type"
_OVERLAPS = "emergency: only DatabasePassword and JwtSigningKey have an overlap that can be left out"
_RESTARTS = "restart: only pods of type Generic may be left as they are: leave it at true"
_ONE_CLOCK = "schedule: either schedule or maxAge says when, not both"
_WINDOW_ONLY = "windowsFrom: InPlace is begun in a maintenance window of the AadaLms only: leave it at lms"
# How often a consumer runs of which nobody said it.
_DAILY = "24h"
# How a credential of each type is replaced: the first one if the spec names none.
_STRATEGIES_OF = {
    "DatabasePassword": ("AlternatingRoles", "InPlace"),
    "JwtSigningKey": ("ThreePhase", "BlueGreen"),
    "Generic": ("Replace",),
    "DataEncryptionKey": (),
}
_STRATEGY = "strategy: " + "; ".join(f"{k}: {' or '.join(v) or 'none'}" for k, v in _STRATEGIES_OF.items())
_STRATEGY_RULE = "!has(self.strategy) || " + " || ".join(
    f"(self.type == '{kind}' && self.strategy in {list(names)})" for kind, names in _STRATEGIES_OF.items() if names
)


class SecretRotationSpec(Model):
    """Which credential is replaced, and when."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("!has(self.schedule) || !has(self.maxAge)", _ONE_CLOCK),
            ("(self.type == 'Generic') == has(self.secretRef)", _WHICH_SECRET),
            ("self.type == 'Generic' || !has(self.verify)", _VERIFIES),
            ("self.type == 'Generic' || self.restart", _RESTARTS),
            ("self.type == 'DatabasePassword' || !has(self.store)", _STORED),
            ("!has(self.strategy) || self.strategy != 'InPlace' || self.windowsFrom == 'lms'", _WINDOW_ONLY),
            (_STRATEGY_RULE, _STRATEGY),
            ("self.type == 'JwtSigningKey' || !has(self.jwt) || !has(self.jwt.revokeSql)", _REVOKES),
            ("!self.emergency || self.type in ['DatabasePassword', 'JwtSigningKey']", _OVERLAPS),
        )
    )

    lms_ref: Annotated[
        LocalRef,
        Field(
            description="The AadaLms whose credential it is; cannot be changed.",
            json_schema_extra=rules(("self == oldSelf", _OTHER_LMS)),
        ),
    ]
    type: Annotated[
        Literal["DatabasePassword", "JwtSigningKey", "Generic", "DataEncryptionKey"],
        Field(
            description="DatabasePassword: the application's login. JwtSigningKey: what signs its tokens. Generic: a "
            "key of any Secret. DataEncryptionKey is refused: replacing it would make encrypted rows unreadable."
        ),
    ]
    strategy: Annotated[
        Literal["AlternatingRoles", "InPlace", "ThreePhase", "BlueGreen", "Replace"] | None,
        Field(
            description="How it is replaced; absent: the one that nobody notices. InPlace (DatabasePassword): the role "
            "keeps its name, and logins fail until pods are restarted, so only in a maintenance window. BlueGreen "
            "(JwtSigningKey): for an application that knows one key only; all users log in again once."
        ),
    ] = None
    secret_ref: Annotated[SecretKeyRef | None, Field(description="Type Generic: the key whose value is replaced.")] = (
        None
    )
    generator: Annotated[Generator, Field(description="What new values of JwtSigningKey and Generic are.")] = (
        Generator()
    )
    jwt: Annotated[Jwt, Field(description="Type JwtSigningKey: where the keys are.")] = Jwt()
    verify: Annotated[
        Verification | None,
        Field(description="Type Generic: asked when all have the new value; else it is rolled back."),
    ] = None
    restart: Annotated[
        bool,
        Field(
            description="Type Generic. False: no pod is restarted, for those that read a file or ask for the value "
            "themselves; one that has it in its environment keeps the old value until it restarts."
        ),
    ] = True
    schedule: Annotated[CronExpression | None, Field(description="Five cron fields, read in timeZone.")] = None
    max_age: Annotated[
        Duration | None, Field(description="Instead of a schedule: rotated once the credential is this old.")
    ] = None
    time_zone: Annotated[TimeZone, Field(description="Time zone of the schedule.")] = "Etc/UTC"
    windows_from: Annotated[
        Literal["lms", "none"],
        Field(
            description="lms: what the clock demands is begun in the maintenance windows of the AadaLms. none: at any "
            "time, as what the annotation rotate-at asks for."
        ),
    ] = "lms"
    canary: Annotated[
        bool,
        Field(
            description="AlternatingRoles: start one pod with the new login, without users, before all others get it."
        ),
    ] = True
    store: Annotated[
        Store | None, Field(description="Type DatabasePassword: where others read the login, kept in step.")
    ] = None
    consumers: Annotated[
        list[Consumer],
        Field(
            max_length=20,
            description="Further workloads that read the Secret. Deployments and StatefulSets are restarted; of a "
            "CronJob the next run has the new revision, and the one that runs is left to its end.",
        ),
    ] = []
    drain_timeout: Annotated[
        Duration, Field(description="How long pods and sessions may take to change over; then it is rolled back.")
    ] = "10m"
    grace_period: Annotated[
        Duration,
        Field(
            description="How long the old credential still works once nobody uses it; longer than any consumer keeps "
            "it without a session, such as a nightly job. JwtSigningKey: the life of a token; a minute is added. "
            "InPlace: none."
        ),
    ] = "15m"
    longest_consumer_period: Annotated[
        Duration | None,
        Field(
            description="The longest time between two runs of a consumer that reads the credential once a run: the old "
            "one works at least so long, too. Default: 24h with a CronJob in consumers, else none."
        ),
    ] = None
    history_limit: Annotated[int, Field(ge=1, le=20, description="How many rotations status.history keeps.")] = 3
    emergency: Annotated[
        bool,
        Field(
            description="True: the credential has leaked. A rotation that is asked for with rotate-at leaves out the "
            "overlap: the old key is forgotten at once, the old login closed once pods have the new one, and its "
            "sessions are ended. Rotations of the schedule are as ever."
        ),
    ] = False
    suspend: Annotated[bool, Field(description="True: nothing is begun; what is under way is brought to its end.")] = (
        False
    )

    @model_validator(mode="after")
    def _fits(self) -> "SecretRotationSpec":
        if self.schedule and self.max_age:
            raise ValueError(_ONE_CLOCK)
        if (self.type == "Generic") != (self.secret_ref is not None):
            raise ValueError(_WHICH_SECRET)
        if self.verify and self.type != "Generic":
            raise ValueError(_VERIFIES)
        if not self.restart and self.type != "Generic":
            raise ValueError(_RESTARTS)
        if self.store and self.type != "DatabasePassword":
            raise ValueError(_STORED)
        if self.strategy and self.strategy not in _STRATEGIES_OF[self.type]:
            raise ValueError(_STRATEGY)
        if self.strategy == "InPlace" and self.windows_from != "lms":
            raise ValueError(_WINDOW_ONLY)
        if self.jwt.revoke_sql and self.type != "JwtSigningKey":
            raise ValueError(_REVOKES)
        if self.emergency and self.type not in ("DatabasePassword", "JwtSigningKey"):
            raise ValueError(_OVERLAPS)
        return self

    @property
    def overlap(self) -> timedelta:
        """How long the old credential still works once nobody is seen to use it."""
        daily = any(consumer.kind == "CronJob" for consumer in self.consumers)
        period = self.longest_consumer_period or (_DAILY if daily else "0s")
        return timedelta(seconds=max(seconds(self.grace_period), seconds(period)))

    @property
    def chosen_strategy(self) -> str:
        """How the credential is replaced; type DataEncryptionKey never is."""
        if not self.restart:
            return "ReplaceOnly"
        return self.strategy or _STRATEGIES_OF[self.type][0]


class Proof(StatusModel):
    """How the old credential was seen to be dead."""

    time: Annotated[Timestamp, Field(description="When the old password was tried.")]
    revision: Annotated[int, Field(ge=1, description="The revision that took its place.")]
    login: Annotated[str, Field(max_length=63, description="The role that it was of.")] = ""
    sql_state: Annotated[str, Field(max_length=5, description="What the server answered: 28P01, password refused.")] = (
        ""
    )
    sessions_left: Annotated[int, Field(ge=0, description="Sessions of the old role at that moment.")] = 0
    by: Annotated[
        str,
        Field(
            max_length=63,
            description="The role that could log in at the same moment, or the request that was answered.",
        ),
    ] = ""
    tokens_revoked: Annotated[int | None, Field(ge=0, description="In an emergency: rows that were changed.")] = None


class PastRotation(StatusModel):
    """A rotation that has ended."""

    revision: Annotated[int, Field(ge=1, description="Its revision.")]
    result: Annotated[Literal["Rotated", "RolledBack"], Field(description="How it ended.")]
    login: Annotated[str, Field(max_length=63, description="The role that it was to bring.")] = ""
    emergency: Annotated[bool, Field(description="Whether it left out the overlap.")] = False
    reason: Annotated[str, Field(max_length=128, description="Why it was rolled back.")] = ""
    message: Annotated[str, Field(max_length=512, description="Why, for people.")] = ""
    started_at: Annotated[Timestamp | None, Field(description="When its credential was made.")] = None
    finished_at: Annotated[Timestamp | None, Field(description="When it had ended.")] = None


class SecretRotationStatus(CommonStatus):
    """Where the credential is in its life."""

    revision: Annotated[int, Field(ge=0, description="Revision of the credential that the application has.")] = 0
    active_role: Annotated[str, Field(max_length=63, description="Role that the application logs in as.")] = ""
    strategy: Annotated[str, Field(max_length=32, description="How it is replaced.")] = ""
    step: Annotated[str, Field(max_length=64, description="Step that is under way.")] = ""
    steps: Annotated[list[StepStatus], Field(max_length=32, description="The steps of the newest rotation.")] = []
    last_rotation: Annotated[Timestamp | None, Field(description="When the credential came into use.")] = None
    next_rotation: Annotated[Timestamp | None, Field(description="When it is due again.")] = None
    next_attempt: Annotated[
        Timestamp | None, Field(description="After one was rolled back: when the next one is tried.")
    ] = None
    failures: Annotated[int, Field(ge=0, description="Rotations rolled back since the last one that succeeded.")] = 0
    proof: Annotated[Proof | None, Field(description="That the credential before is dead.")] = None
    history: Annotated[
        list[PastRotation],
        Field(max_length=20, description="Rotations that have ended, the newest first."),
    ] = []


SECRET_ROTATION = Resource(
    kind="SecretRotation",
    plural="secretrotations",
    short_names=("rot",),
    description="A credential of an AadaLms that is replaced without a failed login, and the proof of it.",
    max_name=40,
    columns=(
        Column(name="LMS", path=".spec.lmsRef.name"),
        Column(name="TYPE", path=".spec.type"),
        Column(name="STRATEGY", path=".status.strategy"),
        Column(name="STEP", path=".status.step", description="What is under way; empty when nothing is."),
        Column(name="REV", path=".status.revision", type="integer"),
        Column(name="LAST", path=".status.lastRotation", type="date"),
        Column(name="NEXT", path=".status.nextRotation"),
        Column(name="PROVEN", path=".status.proof.sqlState", description="How the server refuses the old one."),
        Column(name="READY", path='.status.conditions[?(@.type=="Ready")].status', priority=1),
        Column(name="STATUS", path='.status.conditions[?(@.type=="Ready")].message', priority=1),
        Column(name="AGE", path=".metadata.creationTimestamp", type="date"),
    ),
)
