"""What a line of the KL figures keeps, one bin after the other."""

from itertools import pairwise


def envelope(kl, duration, edges):
    """Return the points (t, kl) of one trajectory's values from token 1 on; of equal extremes the first."""
    points = list(enumerate(kl, start=1))
    kept = {points[-1]} | {point for point in points if point[0] == duration}
    for low, high in pairwise(edges):
        inside = [point for point in points if low < point[0] <= high]
        for pick in (min, max):
            kept |= {pick(inside, key=lambda point: point[1])} if inside else set()
    return sorted(kept)
