"""How prompts are cut into batches: whole prompts, in their order, so that jobs can be cut anywhere between batches."""


def blocks(n_prompts: int, rows_per_prompt: int, batch_size: int) -> list[range]:
    """Return ranges of whole prompts, in order, of at most `batch_size` rows each, or of one prompt.

    What is computed in a block depends on nothing outside it, down to the last bit. So a study may be cut over jobs
    where its blocks begin, and no number changes.
    """
    size = max(1, batch_size // rows_per_prompt)
    return [range(first, min(first + size, n_prompts)) for first in range(0, n_prompts, size)]


def spans(n_prompts: int, rows_per_prompt: int, batch_size: int, batches: int | None) -> list[tuple[int, int]]:
    """Return the first and last (excluded) prompt of each job: `batches` batches a job, or all in one."""
    whole = blocks(n_prompts, rows_per_prompt, batch_size)
    step = batches or len(whole)
    parts = [whole[start : start + step] for start in range(0, len(whole), step)]
    return [(part[0].start, part[-1].stop) for part in parts]
