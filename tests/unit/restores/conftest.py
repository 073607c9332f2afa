from tests.unit.restores.rehearsal import rehearsal

__all__ = ["rehearsal"]
