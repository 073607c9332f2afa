from tests.unit.backups.school import school

__all__ = ["school"]
