"""What this machine is bad at, said before a run begins."""

from pathlib import Path

from steerdose.study.config import Study
from steerdose.study.methods import Adapter

CPUINFO = Path("/proc/cpuinfo")
GPU = Path("/dev/nvidia0")
FAST = ("avx512", "amx")  # what bfloat16 is computed with; without them it is emulated


def emulated_training(study: Study) -> str | None:
    """Return a line where adapters of the study would train in bfloat16 on a processor that emulates it, else None."""
    slow = [
        name
        for name in study.study.methods
        if isinstance(method := study.methods[name], Adapter) and method.training.precision == "bfloat16"
    ]
    on_cpu = study.device == "cpu" or (study.device == "auto" and not GPU.exists())
    flags = CPUINFO.read_text(encoding="utf-8").split() if CPUINFO.is_file() else []
    if not slow or not on_cpu or "avx2" not in flags or any(flag.startswith(FAST) for flag in flags):
        return None
    keys = ", ".join(f"methods.{name}.training.precision" for name in slow)
    return f"this processor has no AVX-512 and emulates bfloat16, many times as slowly: set {keys} to float32"
