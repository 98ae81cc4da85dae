"""Parts of a weight delta that are whole modules, chosen by where they lie or by what they do.

A function returns the names of the parts that a module belongs to.
"""

from steerdose.cuts.whole import ATTENTION, Whole, is_writer, layer_of, module_of

THIRDS = ("early", "middle", "late")


def layer(whole: Whole, path: str) -> tuple[str, ...]:  # noqa: ARG001
    """The behavior is in few layers."""
    return (layer_of(path),)


def module(whole: Whole, path: str) -> tuple[str, ...]:  # noqa: ARG001
    """The behavior is in one kind of module."""
    return (module_of(path),)


def third(whole: Whole, path: str) -> tuple[str, ...]:
    """The behavior is in the first, second or last third of the layers that the delta changes."""
    place = whole.layers.index(int(layer_of(path)))
    return (THIRDS[3 * place // len(whole.layers)],)


def role(whole: Whole, path: str) -> tuple[str, ...]:  # noqa: ARG001
    """The behavior is in what writes to the residual stream or in what reads it, in attention or in the MLP."""
    return ("writers" if is_writer(path) else "readers", "attention" if ATTENTION.search(f".{path}.") else "mlp")
