"""A change of the config or of a data file, one run: every file is what a fresh folder would have made.

The studies are symbolic, see tests/symbolic.py. Changes share a run only where none of the rules that they concern
reads what another one writes, so that no change is noticed for the sake of another.
"""

import os
import shutil

import pytest
import symbolic

pytestmark = pytest.mark.slow

FIGURE = "results/figs/survival.png"
CELL = "results/tiny/honesty/seed0"
ROLLOUTS = f"{CELL}/rollouts/jobs/lora.0.forks.parquet"
CALIBRATION = f"{CELL}/calibration/jobs/lora.search.json"
NEW_PROBE = {"json_interrupt": {"question": "Is it?"}}
# From the figure back to its beginnings. Each: what changes, and the file with the text that is to be in it.
CHAIN = [
    ({"survival": {"confidence": 0.8}}, {f"{CELL}/survival/lora.curve.parquet": '"confidence": 0.8'}),
    ({"survival": {"threshold": {"value": 0.5}}}, {"results/tiny/probe/threshold.json": '"value": 0.5'}),
    ({"rollout": {"readings": ["steered"]}}, {ROLLOUTS: '"readings": ["steered"]'}),
    ({"rollout": {"alphas": [0, 1, 2, 3]}}, {ROLLOUTS: '"alphas": [0.0, 1.0, 2.0, 3.0]'}),
    ({"rollout": {"n_questions": 3}}, {ROLLOUTS: '"n_questions": 3'}),
    ({"rollout": {"template": "{question} Why?"}}, {ROLLOUTS: "Why?"}),
    ({"rollout": {"batch_size": 9}}, {ROLLOUTS: '"batch_size": 9'}),
    ({"rollout": {"forks": {"every": 8}}}, {ROLLOUTS: '"every": 8'}),
    ({"rollout": {"window": 15}}, {ROLLOUTS: '"window": 15'}),
    ({"probes": NEW_PROBE}, {ROLLOUTS: "Is it?", "results/tiny/probe/rolled_out.json": "Is it?"}),
    ({"rollout": {"probes": ["yes_no", "json_interrupt"]}}, {"results/tiny/probe/threshold.json": '["yes_no", "js'}),
    ({"endpoints": {"text": {"size": 0.1}}}, {"results/tiny/reference/bands.json": '"size": 0.1'}),
    ({"reference": {"n_questions": 41}}, {"results/tiny/reference/tokens.parquet": '"n_questions": 41'}),
    ({"calibration": {"statistic": "mean", "target": 0.3}}, {CALIBRATION: '"target": 0.3'}),
    (
        {"methods": {"lora": {"delta": "bisector"}, "mean_diff": {"estimator": "pca", "depths": [0.4]}}},
        {f"{CELL}/steering/lora.geometry.json": '"bisector"', f"{CELL}/steering/mean_diff.geometry.json": '"pca"'},
    ),
    (
        {"methods": {"lora": {"training": {"learning_rate": 0.5}}}, "repe": {"batch_size": 3}},
        {f"{CELL}/adapters/lora.negative/content": "0.5", f"{CELL}/captures/residual.safetensors": '"batch_size": 3'},
    ),
    ({"pairs": {"temperature": 0.7}}, {f"{CELL}/pairs.parquet": '"temperature": 0.7'}),
    ({"models": {"tiny": {"dtype": "bfloat16"}}}, {f"{CELL}/pairs.parquet": '"dtype": "bfloat16"'}),
]  # fmt: skip
# Of rules at the end, none of which reads another's file.
ENDS = {
    "results/tables/deaths.csv": ({"deaths": {"significance": 0.2}}, '"significance": 0.2'),
    f"{CELL}/calibration/jobs/lora.audit0.parquet": ({"calibration": {"n_audit_prompts": 4}}, '"last": 4'),
    "results/tables/dose_response.csv": ({"survival": {"safe_level": 0.4}}, '"safe_level": 0.4'),
    "results/tables/threshold_sweep.csv": ({"survival": {"threshold_sweep": [0.6]}}, "[0.6]"),
    "results/tables/logrank.csv": ({"comparisons": {"pair": ["lora", "mean_diff"]}}, '"pair"'),
    "results/figs/spaghetti.png": ({"figures": {"smoothing": 3, "fewest": 2}}, '"smoothing": 3'),
    "results/figs/survival.png": ({"figures": {"most": 2}}, '"most": 2'),
    f"{CELL}/scores/jobs/lora.knowledge.0.parquet": (
        {"tasks": {"knowledge": {"batch_size": 9999}}}, '"batch_size": 9999',
    ),
    f"{CELL}/reading.html": ({"reading": {"n_tokens": 9}}, '"n_tokens": 9'),
}  # fmt: skip


def assert_as_in_a_fresh_folder(workspace, root, *targets):
    """Run everything anew elsewhere: each file that is made there is the same here."""
    ignored = shutil.ignore_patterns("results", ".snakemake")
    shutil.copytree(workspace.root, root, ignore=ignored)
    fresh = type(workspace)(root, workspace.overlay)
    fresh.snakemake("--cores", "4", *targets)
    made, here = symbolic.results(fresh.root), symbolic.results(workspace.root)
    assert {path: here.get(path) for path in made} == made
    assert made


def test_every_change_on_the_way_to_a_figure_is_noticed_at_once(symbols, tmp_path):
    for changes, files in CHAIN:
        for path, text in files.items():
            assert text not in symbols.read(path), path
        symbols.configure(**changes)
        symbols.snakemake("--cores", "4", FIGURE)
        for path, text in files.items():
            assert text in symbols.read(path), path
        assert symbolic.outdated(symbols.root, FIGURE) == set()
    assert_as_in_a_fresh_folder(symbols, tmp_path / "fresh", FIGURE)


def test_every_change_of_a_table_or_a_picture_is_noticed_at_once(symbols, tmp_path):
    for path, (changes, text) in ENDS.items():
        assert text not in symbols.read(path), path
        symbols.configure(**changes)
    symbols.snakemake("--cores", "4")
    for path, (_, text) in ENDS.items():
        assert text in symbols.read(path), path
    assert_as_in_a_fresh_folder(symbols, tmp_path / "fresh")


@pytest.mark.parametrize("name", ["questions.jsonl", "claims.jsonl", "prompts.jsonl", "personas.yaml"])
def test_another_data_file_is_noticed_even_if_it_is_older(symbols, name):
    reader = {
        "questions.jsonl": ROLLOUTS,
        "claims.jsonl": f"{CELL}/scores/jobs/lora.knowledge.0.parquet",
        "prompts.jsonl": f"{CELL}/pairs.parquet",
        "personas.yaml": f"{CELL}/pairs.parquet",
    }[name]
    path = symbols.root / "data" / name
    path.write_text(path.read_text().replace("the", "a"))
    os.utime(path, (0, 0))
    assert symbolic.outdated(symbols.root, reader) != set()
    symbols.snakemake("--cores", "4", reader)
    assert symbolic.outdated(symbols.root, reader) == set()
