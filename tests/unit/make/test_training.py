"""What an adapter is trained on, and training one sign of it."""

import peft
import polars as pl
import pytest
import tiny
from adapter_examples import entry, pairs
from steerdose.errors import SteerdoseError
from steerdose.make.adapters import attach, split_by_prompt, target_modules, train, training_examples
from steerdose.model.loading import LoadedModel


def test_target_modules_are_full_paths_inside_the_layer_range():
    paths = target_modules(tiny.model(), ["q_proj", "down_proj"], (0.3, 0.7))
    assert paths == ["model.layers.1.self_attn.q_proj", "model.layers.1.mlp.down_proj"]
    with pytest.raises(SteerdoseError, match=r"target_modules \['c_attn'\] do not exist in LlamaForCausalLM.*q_proj"):
        target_modules(tiny.model(), ["q_proj", "c_attn"], (0.0, 1.0))


def test_unknown_families_and_options_are_refused():
    with pytest.raises(SteerdoseError, match=r"methods\.mine\.peft_type: 'LORAX' is unknown to PEFT.*LORA"):
        attach(tiny.model(), "mine", entry(peft_type="LORAX"))
    refused = {
        ("LORA", "rank"): r"methods\.mine\.options: LoraConfig of PEFT .* no option \['rank'\]; it accepts .*'r'",
        ("LORA", "target_modules"): r"methods\.mine\.options: LoraConfig .* no option \['target_modules'\]",
        ("ADALORA", "r"): r"methods\.mine\.options: PEFT refuses them for ADALORA: .*total_step",
        ("C3A", "block_size"): r"methods\.mine: PEFT cannot attach C3A: .*block size",
    }
    for (family, option), message in refused.items():
        with pytest.raises(SteerdoseError, match=message):
            attach(tiny.model(), "mine", entry(peft_type=family, options={option: 5}))
    both = {"init_lora_weights": "pissa", "use_dora": True}
    with pytest.raises(SteerdoseError, match="use_dora cannot be saved as a change of the untouched weights"):
        attach(tiny.model(), "mine", entry(options=both))


def test_only_the_response_is_learnt_and_the_persona_is_gone():
    tokenizer = tiny.tokenizer()
    frame = pairs(1).with_columns(persona_pos=pl.lit("be good"))
    example = training_examples(tokenizer, frame, "positive", 64)[0]
    learnt = [token for token, label in zip(example["input_ids"], example["labels"], strict=True) if label != -100]
    assert tokenizer.decode(learnt) == "yes!<|end|>"
    assert tokenizer.decode(example["input_ids"]) == "<|start|>user\nask 0<|end|>\n<|start|>assistant\nyes!<|end|>"
    with pytest.raises(SteerdoseError, match="no prompt fits into training.max_tokens = 5"):
        training_examples(tokenizer, frame, "positive", 5)


def test_the_split_keeps_a_prompt_on_one_side_and_is_stable():
    frame = pl.concat([pairs(), pairs()])
    kept, held = split_by_prompt(frame, 0.25, seed=1)
    assert len(held) == 4
    assert not set(kept["prompt_id"]) & set(held["prompt_id"])
    assert held.equals(split_by_prompt(frame, 0.25, seed=1)[1])


def test_training_lowers_the_loss_and_logs_the_held_out_one(tmp_path):
    loaded = LoadedModel(tiny.model(), tiny.tokenizer(), "0")
    examples = training_examples(loaded.tokenizer, pairs(), "positive", 64)
    model, losses = train(loaded, "lora", entry(), examples[:6], examples[6:], 0, tmp_path / "adapter")
    assert losses.filter(split="heldout")["step"].to_list() == [0, 2, 4]
    heldout = losses.filter(split="heldout")["loss"].to_list()
    assert heldout[-1] < heldout[0]
    assert isinstance(model, peft.PeftModel)
