"""The custom resources of group ``lms.aada.edu``, one module per kind, and documents that operator and worker share."""
