"""``aada-operator simulate scaling``: a recorded day, replayed through the functions that the operator decides with."""
