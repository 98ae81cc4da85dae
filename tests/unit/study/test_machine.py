"""Before a run: a line where training would be emulated, and none where it would not."""

import pytest
from steerdose.study import machine
from steerdose.study.machine import emulated_training
from study_examples import study

OLD, NEW = "flags : fpu sse avx avx2", "flags : fpu sse avx avx2 avx512f avx512_bf16"


@pytest.fixture(name="on")
def on_fixture(tmp_path, monkeypatch):
    """Pretend a processor, with a GPU or without."""

    def pretend(flags, gpu=False):
        for name, text in (("CPUINFO", flags), ("GPU", "" if gpu else None)):
            if text is not None:
                (tmp_path / name).write_text(text)
            monkeypatch.setattr(machine, name, tmp_path / name)

    return pretend


def test_bfloat16_without_avx512_is_told_with_its_key(on):
    on(OLD)
    assert "set methods.lora.training.precision to float32" in emulated_training(study())


@pytest.mark.parametrize(
    ("flags", "changes"),
    [
        (NEW, {}),
        (OLD, {"methods.lora.training.precision": "float32"}),
        (OLD, {"study.methods": ["mean_diff"]}),
        (OLD, {"device": "cuda"}),
        ("Features : fp asimd bf16", {}),
    ],
)
def test_what_is_not_emulated_is_not_told(on, flags, changes):
    on(flags)
    assert emulated_training(study(**changes)) is None


def test_a_gpu_is_taken_for_what_it_is(on):
    on(OLD, gpu=True)
    assert emulated_training(study()) is None
    assert emulated_training(study(device="cpu"))
