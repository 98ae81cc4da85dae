"""What tells apart the rows of a screen: how a part was cut, which it is, which side of it, what it was matched in."""

PLACE = ("way", "part", "side", "at")
WHOLE = "whole"  # the way and the name of the delta as it is
Place = tuple[str, str, str, str]
WHOLE_PLACE: Place = (WHOLE, WHOLE, "keep", "coefficient")
ZERO_PLACE: Place = (WHOLE, "zero", "keep", "coefficient")
WRITERS_PLACE: Place = ("role", "writers", "keep", "coefficient")
