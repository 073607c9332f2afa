"""When a rotation begins: its clock, whoever asks for it, and the maintenance windows of its AadaLms; pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from aada_operator.api.rotation import SecretRotationSpec
from aada_operator.api.windows import MaintenanceWindow
from aada_operator.core import windows
from aada_operator.core.clock import to_rfc3339
from aada_operator.core.errors import Stalled, Waiting
from aada_operator.rotations import decide

_NONE_TO_BEGIN_IN = (
    "strategy: InPlace is begun in a maintenance window only, since logins fail meanwhile: add one of kind Allow to "
    "spec.maintenanceWindows of the AadaLms"
)
_NONE_OPENS = (
    "spec.maintenanceWindows of the AadaLms: none opens within a year, so nothing is ever begun: correct them, or set "
    "windowsFrom: none here"
)


@dataclass(frozen=True)
class Timing:
    """``last`` is since when the credential is in use, ``made`` the SecretRotation; ``asked`` is the annotation."""

    spec: SecretRotationSpec
    windows: Sequence[MaintenanceWindow]
    last: datetime
    made: datetime
    asked: str
    now: datetime

    def is_wanted(self) -> bool:
        """Whether it is time, windows aside; raises Stalled, InvalidAnnotation."""
        return decide.is_due(self.spec, self.last, self.made, self.asked, self.now)

    def is_allowed(self) -> bool:
        """Whether what is wanted may begin now. Who asks for it has it at once, but for what makes logins fail."""
        if self._is_in_place:
            return windows.has_allow(self.windows) and windows.is_open(self.windows, self.now)
        asked = decide.is_asked(self.asked, to_rfc3339(self.last), self.now)
        return asked or self.is_open()

    def is_open(self) -> bool:
        """Whether a window is open now, or none is observed."""
        return windows.is_open(self._observed, self.now)

    def opens(self) -> datetime | None:
        """When the windows are open again, now if they are; None for never within a year."""
        found = windows.opening(self._observed, self.now)
        return found.start if found else None

    def begins(self) -> datetime | None:
        """When the clock's next rotation begins: as soon as it is due and a window is open; None for never.

        One that did not begin in its first window is overdue since then, until that window has ended.
        """
        due = decide.next_due(self.spec, self.last, self.made)
        if due is None or not self._observed:
            return due
        first = windows.opening(self._observed, max(due, self.made))
        if first is None:
            return None
        if first.end is None or self.now < first.end:
            return first.start
        opens = self.opens()
        return opens if opens is None or opens > self.now else first.start

    def demand_window(self) -> None:
        """Make sure that there is a window to begin in.

        Raises:
            Stalled: NoMaintenanceWindow.
        """
        if self._is_in_place and not windows.has_allow(self.windows):
            raise Stalled("NoMaintenanceWindow", _NONE_TO_BEGIN_IN)
        if (self._is_in_place or self.spec.schedule or self.spec.max_age) and self.opens() is None:
            raise Stalled("NoMaintenanceWindow", _NONE_OPENS)

    def demand_open(self, what: str) -> None:
        """Make sure that a window is open now, also for what somebody asked for; ``what`` needs it, in words.

        Raises:
            Waiting: WaitsForWindow.
            Stalled: NoMaintenanceWindow.
        """
        opens = self.opens()
        if opens is None:
            raise Stalled("NoMaintenanceWindow", _NONE_OPENS)
        if opens > self.now:
            left = (opens - self.now).total_seconds()
            raise Waiting("WaitsForWindow", f"{what}: waits for the one at {to_rfc3339(opens)}", min(60.0, left))

    @property
    def _is_in_place(self) -> bool:
        return self.spec.chosen_strategy == "InPlace"

    @property
    def _observed(self) -> Sequence[MaintenanceWindow]:
        return self.windows if self.spec.windows_from == "lms" else ()
