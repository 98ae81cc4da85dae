"""The figures that a study ends in, a module each."""
