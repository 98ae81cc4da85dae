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


def ratios(kl, forks, n):
    """Return (peak, level) at each fork of one trajectory."""
    rows, before = [], 0
    for t in forks:
        gap, head = sorted(kl[before:t]), kl[: min(n, before)]
        scale = percentile(head, 0.95) if head else 0
        rows.append((gap[-1] / scale, percentile(gap, 0.5) / scale) if gap and scale else (None, None))
        before = t
    return rows
