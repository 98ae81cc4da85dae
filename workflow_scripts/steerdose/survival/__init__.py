"""From deaths to estimates: lifetimes, curves, tests, lethal doses."""
