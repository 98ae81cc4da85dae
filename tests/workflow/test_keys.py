"""Which rules depend on which key of the config: every key on at least one, and some keys on exactly these."""

import copy
import itertools
import re
from pathlib import Path

import pytest
import yaml
from steerdose.study.load import load_study
from steerdose.study.plan import Plan
from steerdose.study.slices import Slices

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^ *rule (\w+):\n(.*?)(?=^ *rule \w+:|\Z)", re.MULTILINE | re.DOTALL)
RULES = {name: body for path in (ROOT / "rules").glob("*.smk") for name, body in BLOCK.findall(path.read_text())}
WITHOUT_RESULT = {
    f"jobs.{name}" for name in ("threads", "gpus", "mem_mb", "runtime", "partition")
}  # how fast jobs run, and where
MODEL_JOBS = {
    "generate_pairs", "train_adapter", "capture_activations", "calibrate_alpha", "audit_dose", "audit_probe",
    "roll_reference", "rollout_trajectories", "score_task", "write_texts", "score_relevance",
    "score_reference", "run_lm_eval", "screen_parts", "capture_sites", "sweep_subspaces", "design_rollouts",
    "measure_speed",
}  # fmt: skip
PANELS = {
    "plot_survival", "plot_survival_by_dose", "plot_dose_response", "plot_lethal_dose", "plot_calibration",
    "plot_threshold_sweep", "plot_spaghetti", "plot_spaghetti_normalised", "plot_kl_fan", "plot_aggregate",
    "plot_death_anatomy", "plot_incidence", "plot_prevalence", "plot_relevance",
    "plot_equal_kl", "plot_therapeutic", "plot_frontier",
}  # fmt: skip
SEARCHED = {"plot_calibration", "plot_dose_response", "plot_lethal_dose"}
DEPENDENT = {
    "models.smollm2.dtype": MODEL_JOBS,
    "models.smollm2.quantization": MODEL_JOBS,
    "models.smollm2.source": {"resolve_model"},
    "device": MODEL_JOBS,
    "cuda_graphs": {
        "calibrate_alpha", "audit_dose", "audit_probe", "roll_reference", "rollout_trajectories", "design_rollouts",
        "write_texts", "measure_speed",
    },
    "positions": {
        "calibrate_alpha", "audit_dose", "rollout_trajectories", "design_rollouts", "score_task", "write_texts",
        "run_lm_eval",
    },
    "lm_eval.include_path": {"run_lm_eval"},
    "lm_eval.limit": {"run_lm_eval"},
    "pairs.temperature": {"generate_pairs"},
    "repe.batch_size": {"capture_activations", "sweep_subspaces"},
    "subspaces.methods": {"tabulate_subspaces"},
    "subspaces.mode": {"capture_sites", "build_subspaces", "sweep_subspaces"},
    "subspaces.switches": {"build_subspaces"},
    "subspaces.layer_range": {"build_subspaces"},
    "subspaces.n_prompts": {"capture_sites"},
    "subspaces.widths": {"build_subspaces", "sweep_subspaces"},
    "subspaces.alpha": {"sweep_subspaces"},
    "subspaces.causal": {"tabulate_subspace_parts"},
    "subspaces.causal_width": {"screen_parts"},
    "methods.lora.training.learning_rate": {"train_adapter", "merge_diff"},
    "methods.lora.delta": {"merge_diff", "tabulate_methods", "tabulate_geometry", "write_card"},
    "methods.lora.target": {"calibrate_alpha"},
    "methods.constructed.ridge": {"construct_delta"},
    "methods.mean_diff.depths": {"fit_repe"},
    "calibration.target": {"calibrate_alpha"},
    "calibration.tolerance": {"calibrate_alpha", *SEARCHED},
    "calibration.statistic": {
        "calibrate_alpha", "gather_calibration", "measure_prefixes", "kaplan_meier", "design_rollouts", *SEARCHED
    },
    "calibration.n_audit_prompts": {"audit_dose"},
    "calibration.n_search_prompts": {"calibrate_alpha"},
    "calibration.max_new_tokens": {"calibrate_alpha", "audit_dose"},
    "rollout.n_questions": {"audit_probe", "rollout_trajectories", "design_rollouts", "score_relevance"},
    "rollout.template": {
        "audit_probe", "roll_reference", "rollout_trajectories", "design_rollouts", "score_relevance",
        "score_reference", "score_task", "screen_parts",
    },
    "rollout.batch_size": {"audit_probe", "rollout_trajectories", "design_rollouts", "measure_speed"},
    "rollout.forks.every": {
        "audit_probe", "rollout_trajectories", "design_rollouts", "kaplan_meier", "tabulate_hazards",
        "tabulate_threshold_sweep", "tabulate_probes", "plot_aggregate",
    },
    "rollout.window": {
        "audit_probe", "roll_reference", "rollout_trajectories", "design_rollouts", "kaplan_meier", "tabulate_hazards",
        "tabulate_threshold_sweep", "tabulate_probes", "plot_kl_fan", "plot_aggregate",
    },
    "rollout.alphas": {"rollout_trajectories", "score_task", "write_texts"},
    "rollout.design.most": {"design_rollouts"},
    "rollout.readings": {"rollout_trajectories", "design_rollouts"},
    "probes.json_interrupt.question": {"audit_probe"},
    "probes.yes_no.question": {"audit_probe", "rollout_trajectories", "design_rollouts"},
    "tasks.knowledge.forms.claim.prompt": {"score_task"},
    "ablations.methods": {"share_bases", "tabulate_ablations"},
    "ablations.draws": {"screen_parts"},
    "ablations.widths": {"share_bases", "screen_parts"},
    "ablations.effects.honesty": {"screen_parts"},
    "tasks.honesty.forms.honest.prompt": {"score_task", "screen_parts"},
    "tasks.knowledge.data": {"score_task", "write_texts", "score_texts"},  # they name one function of all tasks
    "tasks.sycophancy.measures.agreement": {"tabulate_effects", "tabulate_specificity"},
    "tasks.mood.window": {"write_texts"},
    "tasks.instructions.scorer": {
        "score_texts", "tabulate_effects", "tabulate_specificity", "tabulate_dose", "plot_frontier",  # a damage
    },
    "benefit.effects.honesty": {"tabulate_dose", "tabulate_contrasts", "plot_frontier", "plot_screening"},
    "benefit.damages": {"tabulate_dose", "plot_frontier"},
    "study.tasks": {"tabulate_effects", "tabulate_specificity", "tabulate_dose", "plot_frontier"},
    "survival.threshold.value": {"set_threshold", "tabulate_threshold_sweep"},
    "survival.minimum_base_pmass": {"set_threshold", "tabulate_probes", "plot_probes"},
    "survival.safe_level": {"tabulate_dose_response", "tabulate_endpoints", "tabulate_threshold_sweep"},
    "survival.threshold_sweep": {"tabulate_threshold_sweep"},
    "deaths.head": {"measure_prefixes", "plot_spaghetti_normalised"},
    "deaths.significance": {"tabulate_deaths"},
    "rollout.decoding": {"rollout_trajectories", "design_rollouts"},
    "reference.n_questions": {"roll_reference", "score_reference"},
    "relevance.tokens": {"score_relevance", "score_reference"},
    "relevance.size": {"tabulate_relevance"},
    "endpoints.text.size": {"set_bands", "kaplan_meier", "design_rollouts", "tabulate_hazards", "score_texts"},
    "endpoints.kl.multiple": {"kaplan_meier"},
    "survival.endpoints": {"kaplan_meier"},  # without another first one
    "figures.smoothing": {"plot_spaghetti", "plot_spaghetti_normalised"},
    "figures.most": PANELS,
    "reading.n_tokens": {"write_reading"},
    "comparisons.pair": {"tabulate_logrank", "tabulate_contrasts"},
}  # fmt: skip
# Another value where a number off by one, or a list without its last member, would not do.
OTHER = {
    "study.models": ["smollm2", "other"],
    "study.behaviors": ["honesty", "sycophancy"],
    "study.seeds": [0, 1],
    "device": "cpu",
    "cuda_graphs": True,
    "positions": "generated",
    "models.smollm2.revision": "main",
    "models.smollm2.sha256": "a" * 64,
    "models.smollm2.dtype": "bfloat16",
    "models.smollm2.quantization": "8bit",
    "models.smollm2.chat_template": "plain",
    "methods.lora.delta": "bisector",
    "methods.lora.peft_type": "ADALORA",
    "methods.lora.layer_range": [0.2, 0.8],
    "methods.lora.training.precision": "float32",
    "methods.lora.options.lora_dropout": 0.1,
    "methods.mean_diff.estimator": "spherical",
    "methods.mean_diff.options": {"centred": True},
    "methods.mean_diff.depths": [0.5],
    "methods.mean_diff.submodule": "self_attn.o_proj",
    "methods.random_direction.of": "lora",
    "methods.constructed.recipe": "outer",
    "methods.constructed.writer": "self_attn.o_proj",
    "methods.constructed.layer_range": [0.2, 0.8],
    "methods.simple_prompt.style": "engineered",
    "methods.theirs.format": "checkpoint",
    "methods.theirs.positive": "config.yaml",
    "methods.theirs.negative": "config.yaml",
    "methods.parts.by": "module",
    "methods.parts.of": "theirs",
    "comparisons.pair": ["lora", "random_direction"],
    "calibration.statistic": "mean",
    "rollout.alphas": [0, 1],
    "rollout.probes": ["json_interrupt", "yes_no"],
    "rollout.readings": ["steered", "unsteered"],
    "rollout.decoding": {"temperature": 1.0, "top_p": 0.9, "n_samples": 2},
    "survival.endpoints": ["text", "kl"],
    "reference.n_questions": 79,
    "survival.threshold.kind": "absolute",
    "benefit.effects.honesty": "knowledge",
    "lm_eval.include_path": "data",
    "ablations.methods": ["lora"],
    "subspaces.methods": ["lora"],
    "subspaces.causal": ["lora"],
    "subspaces.causal_width": 4,
    "subspaces.mode": "legacy",
    "subspaces.switches": {"balanced": False},
    "tasks.outlook.options": "glad",
    "tasks.outlook.right": "id",
    "ablations.effects.honesty": "knowledge",
    "lm_eval.num_fewshot": 1,
    "lm_eval.limit": 4,
    "tasks.instructions.scorer": "valence",
    "jobs.threads": 1,
    "jobs.partition": "gpus",
    "jobs.batches": 1,
    "jobs.methods": 1,
}


OF_WRITTEN = {"write_texts", "score_texts"}  # rules of tasks that write; others have those that are read


class Wildcards(dict):
    """A job's wildcards, as rules' functions get them."""

    __getattr__ = dict.__getitem__


def config():
    read = yaml.safe_load((ROOT / "config.yaml").read_text())
    names = ("lora", "mean_diff", "constructed", "random_direction", "simple_prompt")
    methods = {name: read["methods"][name] for name in names}
    methods["lora"]["target"] = 1.5
    methods["mean_diff"]["estimator"] = "pca"
    methods["theirs"] = {"kind": "import", "format": "vectors", "positive": "data/claims.jsonl", "negative": None}
    methods["parts"] = {"kind": "parts", "of": "lora", "by": "layer", "names": [10, 11]}
    models = {**read["models"], "other": read["models"]["smollm2"]}
    comparisons = {"pair": ["lora", "mean_diff"]}
    study = {**read["study"], "methods": list(methods)}
    return {**read, "study": study, "methods": methods, "models": models, "comparisons": comparisons}


def leaves(part, *place):
    """Yield the key path of everything that is not itself a mapping with keys."""
    for key, value in part.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, *place, key)
        else:
            yield ".".join((*place, key))


# The kind of a method or a probe says which other keys there are, and one that splices has no question.
FIXED = re.compile(
    r"models\.other\..*|(methods|probes|endpoints|tasks)\.\w+\.kind|tasks\.mood\.scorer|ablations\.damage|(benefit|ablations)\.effects\.(sycophancy|cheerfulness)|probes\.(json_splice\.question|recall\.answers)"
)
KEYS = [key for key in leaves(config()) if not FIXED.fullmatch(key)]


def changed(key):
    """Return the config with another value under one key."""
    other = copy.deepcopy(config())
    *above, last = key.split(".")
    part = other
    for name in above:
        part = part[name]
    if key.startswith("data.") or key.endswith(".data"):
        part[last] = f"data/../{part[last]}"  # another path of a file that is there
    elif last == "intended":
        part[last] = {"first": "second", "second": "first", "truth": "not truth", "not truth": "truth"}[part[last]]
    else:
        part[last] = OTHER[key] if key in OTHER else _next(part[last])
    return other


def _next(value):
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case float():
            return value * 0.9
        case str():
            return f"{value} "
        case [_, *_]:
            return value[:-1] if isinstance(value[0], str) and len(value) > 2 else [*value[:-1], _next(value[-1])]
    raise AssertionError(f"give another value of {value!r} in OTHER")


def params(read):
    """Return what each rule's jobs depend on: slices by wildcards, and the data files that the rule names."""
    study = load_study(read)
    plan = Plan(study)
    slices = Slices(study, plan)
    found = {}
    for rule, body in RULES.items():
        data = {name: getattr(study.data, name) for name in re.findall(r"study\.data\.(\w+)", body)}
        if "plan.items" in body:
            data["items"] = [each.data for each in study.tasks.values()]
        if "plan.system_prompts" in body:
            data["system_prompts"] = study.data.system_prompts
        found[rule] = {"data": data}
        for name in re.findall(r"settings=slices\.(\w+)", body):
            settings = getattr(slices, name)
            for w in jobs(study, plan, rule, body):
                found[rule][tuple(w.items())] = settings(w) if callable(settings) else settings
    return found


def jobs(study, plan, rule, body):
    """Yield the wildcards of all jobs of a rule that a config has, in the study or not."""
    log = re.search(r"log:\n +\"(.*?)\"", body)[1].replace("{EXPORT}", "")
    values = {
        "model": [*study.models],
        "behavior": study.study.behaviors,
        "seed": study.study.seeds,
        "method": [*study.all_methods],
        "entry": plan.made_by("merge_diff" if rule == "train_adapter" else rule),
        "job": [*plan.jobs],
        "task": [*study.tasks],
        "sign": ["positive", "negative"],
        "submodule": ["residual"],
        "probes": ["rolled_out", "others"],
        "alpha": ["1"],
        "part": ["0"],
        "group": [*study.ablations.groups, "hypotheses"],
    }
    names = re.findall(r"\{(\w+)\}", log)
    for key in itertools.product(*[values[name] for name in names]):
        w = Wildcards(zip(names, key, strict=True))
        parts = {"rollout_trajectories": "rollout_spans", "audit_dose": "audit_spans"}
        if "task" in w and (w.task in plan.tasks(written=True)) != (rule in OF_WRITTEN):
            continue
        in_parts = rule in ("score_task", "write_texts")
        spans = plan.score_spans(w.task) if in_parts else getattr(plan, parts.get(rule, ""), [0])
        for part in range(len(spans)):
            yield Wildcards({**w, "part": str(part)}) if "part" in w else w


@pytest.fixture(scope="module")
def before():
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        yield params(config())


def dependent(before, key):
    """Return the rules whose jobs are others, or have other params, once a key has changed."""
    after = params(changed(key))
    return {rule for rule in RULES if before[rule] != after[rule]}


@pytest.mark.parametrize("key", KEYS)
def test_every_key_reaches_the_params_of_a_rule(before, key):
    assert bool(dependent(before, key)) == (key not in WITHOUT_RESULT)


@pytest.mark.parametrize("key", DEPENDENT)
def test_a_key_reaches_exactly_the_rules_that_depend_on_it(before, key):
    assert dependent(before, key) == DEPENDENT[key]


def test_every_rule_that_computes_names_its_code():
    assert all(f'code=code("{rule}")' in body for rule, body in RULES.items())
