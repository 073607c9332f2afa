"""What a person gave that cannot be used."""


class Unusable(ValueError):
    """The message begins with the option, file or field, and says the fix."""
