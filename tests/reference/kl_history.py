"""KL histories, one trajectory and one token after the other."""


def percentile(values, share):
    """Linear interpolation between order statistics."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def normalised(kl, n):
    """kl: one trajectory's values from token 1 on."""
    if len(kl) < n:
        return [None] * len(kl)
    scale = percentile(kl[:n], 0.95)
    return [value / scale if scale else None for value in kl]
