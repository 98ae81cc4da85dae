"""Dose-response estimates the slow, obvious way: the penalised likelihood on a grid."""

import numpy as np


def crossing(doses, fitted, half=0.5):
    """Return where a line through the points first reaches one half and last is at it, meant in log dose."""
    if fitted[0] > half:
        return -np.inf
    if fitted[-1] < half:
        return np.inf
    fine = np.linspace(np.log(doses[0]), np.log(doses[-1]), 200_001)
    line = np.interp(fine, np.log(doses), fitted)
    return (fine[line >= half - 1e-12][0] + fine[line <= half + 1e-12][-1]) / 2


def penalised(dose, dead, n, slope, middle):
    """Return Firth's log likelihood of one curve, from every trial on its own."""
    x = np.log(np.repeat(dose, n))
    y = np.concatenate([np.arange(size) < share * size for share, size in zip(dead, n, strict=True)])
    p = 1 / (1 + np.exp(-slope * (x - middle)))
    design = np.stack([np.ones_like(x), x], axis=1)
    information = sum(each * (1 - each) * np.outer(row, row) for each, row in zip(p, design, strict=True))
    return np.log(np.where(y, p, 1 - p)).sum() + np.log(np.linalg.det(information)) / 2
