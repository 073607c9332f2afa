"""The Job's process: read the task, do it, leave one outcome, whatever happens."""

import faulthandler
import gc
import logging
import signal
import traceback
from collections.abc import Callable, Sequence
from functools import partial

from pydantic import BaseModel, ValidationError

from aada_operator.api.task import (
    INTERNAL,
    TERMINATED,
    BackupTask,
    CollectTask,
    CopyTask,
    Outcome,
    RestoreTask,
    VerifyTask,
)
from aada_operator.api.uploads import RestoreFilesTask, SyncTask
from aada_operator.core.errors import OperatorError, Stalled
from aada_operator.worker import backup, collect, replicate, restore, uploads, uploads_restore, verify
from aada_operator.worker.settings import WorkerSettings
from aada_operator.worker.tools import kill_all

logger = logging.getLogger(__name__)
# Far below the 4 KiB that a termination message may have.
_MESSAGE_BYTES = 1024
# A third of what the pod has until it is killed.
_CLEAN_UP_SECONDS = 10


class Terminated(BaseException):
    """SIGTERM arrived. Not an Exception: nothing on the way may take it for a fault and go on."""


def main(arguments: Sequence[str]) -> int:
    """Do one task, as ``backup``. Returns 0, 1 (trying again may help) or 2 (it cannot)."""
    kind = arguments[0] if arguments else ""
    if kind not in _TASKS:
        logger.error("the task must be one of %s", ", ".join(_TASKS))
        return 2
    # What was imported stays to the end: no collection of garbage needs to look at it again.
    gc.freeze()
    settings = WorkerSettings()
    signal.signal(signal.SIGTERM, partial(_terminate, settings))
    outcome = _outcome(_TASKS[kind], settings)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _leave(outcome, settings)
    logger.info("done" if outcome.ok else f"{outcome.reason}: {outcome.message}")
    return 0 if outcome.ok else 1 if outcome.retryable else 2


_TASKS: dict[str, Callable[[WorkerSettings], BaseModel]] = {
    "backup": lambda settings: backup.run(BackupTask.model_validate_json(settings.task), settings),
    "verify": lambda settings: verify.run(VerifyTask.model_validate_json(settings.task), settings),
    "copy": lambda settings: replicate.run(CopyTask.model_validate_json(settings.task), settings),
    "collect": lambda settings: collect.run(CollectTask.model_validate_json(settings.task), settings),
    "restore": lambda settings: restore.run(RestoreTask.model_validate_json(settings.task), settings),
    "uploads": lambda settings: uploads.run(SyncTask.model_validate_json(settings.task), settings),
    "uploads-restore": lambda settings: uploads_restore.run(
        RestoreFilesTask.model_validate_json(settings.task), settings
    ),
}


def _outcome(task: Callable[[WorkerSettings], BaseModel], settings: WorkerSettings) -> Outcome:
    try:
        return Outcome(ok=True, result=task(settings).model_dump(by_alias=True, mode="json"))
    except OperatorError as error:
        return _failed(error.reason, error.message, retryable=not isinstance(error, Stalled))
    except Terminated:
        return _terminated()
    except ValidationError as error:
        return _failed(INTERNAL, f"the task is not understood ({error.error_count()} errors)", retryable=False)
    except Exception as error:
        # The text of a foreign error may quote anything: only where it happened is logged.
        where = "".join(traceback.format_tb(error.__traceback__))
        logger.error("unexpected %s", type(error).__name__, extra={"traceback": where})  # noqa: TRY400
        return _failed(INTERNAL, f"unexpected {type(error).__name__}, see the Job's log", retryable=True)


def _failed(reason: str, message: str, *, retryable: bool) -> Outcome:
    short = message.encode()[:_MESSAGE_BYTES].decode(errors="ignore")
    return Outcome(ok=False, reason=reason, message=short, retryable=retryable)


def _terminated() -> Outcome:
    return _failed(TERMINATED, "the worker was told to stop: its node drains, or it was deleted", retryable=True)


def _leave(outcome: Outcome, settings: WorkerSettings) -> None:
    settings.termination_log.write_text(outcome.model_dump_json(by_alias=True, exclude_none=True))


def _terminate(settings: WorkerSettings, *_: object) -> None:
    """Clean up, for a while: an exception at any line may leave a thread behind that waits for good.

    The children end first: whoever waits for their output would otherwise never see the exception.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _leave(_terminated(), settings)
    faulthandler.dump_traceback_later(_CLEAN_UP_SECONDS, exit=True)
    kill_all()
    raise Terminated
