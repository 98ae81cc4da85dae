"""How prompts are cut into blocks whose rows are computed together. Imports no torch: plans of jobs use it too."""


def blocks(n_prompts: int, rows_per_prompt: int, batch_size: int) -> list[range]:
    """Return ranges of whole prompts, in order, of at most `batch_size` rows each, or of one prompt.

    What is computed in a block depends on nothing outside it, down to the last bit. So a study may be cut over jobs
    where its blocks begin, and no number changes.
    """
    size = max(1, batch_size // rows_per_prompt)
    return [range(start, min(start + size, n_prompts)) for start in range(0, n_prompts, size)]
