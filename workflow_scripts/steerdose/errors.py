"""The exceptions that are meant for the user."""


class SteerdoseError(ValueError):
    """A wrong input: the message says what was expected, what was found, where, and what to do."""


class NonFiniteLogitsError(SteerdoseError):
    """A steered logit is NaN or infinite: the dose is far too strong for the model's dtype."""


class NoTokensError(SteerdoseError):
    """Every rollout ended at its first token, so there is no KL to take a statistic of."""
