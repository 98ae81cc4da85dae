"""Doses that are placed in turn, each where the ones before it left the lethal dose most uncertain."""
