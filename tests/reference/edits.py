"""What each edit does to one token, in double precision and as its formula reads. Slow, and easy to believe."""

import numpy as np


def edited_token(name: str, e: dict[str, np.ndarray], x: np.ndarray, y: np.ndarray, c: float) -> np.ndarray:
    """Return the edited y (out,). e: the edit's tensors; x: (in,)."""
    if name == "LowRank":
        return y + c * e["B"] @ e["A"] @ x
    if name == "Dense":
        return y + c * e["dW"] @ x
    if name == "Add":
        return y + c * e["v"]
    if name == "Ablate":
        return y - c * (y @ e["v"]) * e["v"]
    if name == "Gated":
        return y + c * e["v"] * max(abs(cosine(y, e["v"])) - float(e["threshold"]), 0)
    if name == "AddNearest":
        return y + c * max(e["v"], key=lambda v: cosine(y, v))
    if name == "Turn":
        unit = y / np.linalg.norm(y)
        angle = np.arccos(np.clip(unit @ e["v"], -1, 1))
        slerp = (np.sin((1 - c) * angle) * unit + np.sin(c * angle) * e["v"]) / np.sin(angle)
        return np.linalg.norm(y) * slerp
    if name == "Rotate":
        plane = np.stack([e["b1"], e["b2"]])
        turn = np.array([[np.cos(c), np.sin(c)], [-np.sin(c), np.cos(c)]])
        return y - plane.T @ (plane @ y) + plane.T @ (turn @ (plane @ y))
    if name == "Transport":
        return (1 - c) * y + c * ((1 + e["scale"]) * y + e["shift"])
    if name == "ShiftClusters":
        distance = ((y - e["centres"]) ** 2).sum(1)
        weight = np.exp(e["log_mass"]) * np.exp(-distance / (2 * e["sigma"] ** 2))
        return y + c * (weight[:, None] * e["shifts"]).sum(0) / weight.sum()
    s = e["basis"].T @ (y - e["bias"]) / e["root"]
    if name == "AddS":
        changed = s + c * abs(cosine(s, e["d"])) * e["d"]
    elif name == "AblateS":
        changed = s - c * (s @ e["d"]) * e["d"]
    elif name == "ScaleS":
        changed = s * np.exp(np.clip(c * e["d"], -4, 4))
    else:
        raise KeyError(f"no reference for {name}")
    return y + e["basis"] @ (e["root"] * (changed - s))


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
