"""The tables that a study ends in, a module each."""
