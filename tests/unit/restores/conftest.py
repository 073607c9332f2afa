from tests.unit.restores.rehearsal import rehearsal
from tests.unit.restores.total_loss import loss

__all__ = ["loss", "rehearsal"]
