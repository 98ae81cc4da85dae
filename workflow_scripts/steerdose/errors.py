"""The one exception that is meant for the user."""


class SteerdoseError(ValueError):
    """A wrong input: the message says what was expected, what was found, where, and what to do."""
