"""The texts of tokens from the whole text decoded up to each of them."""

from itertools import accumulate, pairwise


def split_text(tokenizer, token_ids, first, last):
    """Return the texts of tokens `first` to `last`; bytes that may still become a character wait for the next token."""
    whole = tokenizer.decode(token_ids)
    ends = [len(tokenizer.decode(token_ids[:i]).rstrip("�")) for i in range(first, last + 1)]
    if last == len(token_ids):
        ends[-1] = len(whole)
    return [whole[start:end] for start, end in pairwise(accumulate(ends, max))]
