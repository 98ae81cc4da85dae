"""Seeds are made of names, the same on every machine."""

from steerdose.seeds import seed_from


def test_seeds_are_stable_numbers():
    assert seed_from("pairs", "smollm2", "honesty", 0) == 1433932124
    assert seed_from("pairs/smollm2/honesty/0") == 1433932124
    seeds = {seed_from(i) for i in range(1000)}
    assert len(seeds) == 1000
    assert max(seeds) < 2**31
