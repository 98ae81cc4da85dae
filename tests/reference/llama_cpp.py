"""llama.cpp itself, on a CPU: the C library of the wheel xllamacpp, by the headers that llama-cpp-py-sync declares."""

import ctypes
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from llama_cpp_py_sync._cffi_bindings import ffi

N_THREADS = 1


class _String(ctypes.Structure):
    """What stands in front of the characters of a std::string as manylinux2014 builds it, before C++11."""

    _fields_ = (("length", ctypes.c_size_t), ("capacity", ctypes.c_size_t), ("references", ctypes.c_int64))


class _Info(ctypes.Structure):
    """common_control_vector_load_info"""

    _fields_ = (("strength", ctypes.c_float), ("path", ctypes.c_void_p))


class _Vector(ctypes.Structure):
    """std::vector"""

    _fields_ = (("first", ctypes.c_void_p), ("last", ctypes.c_void_p), ("end", ctypes.c_void_p))


class _Found(ctypes.Structure):
    """common_control_vector_data"""

    _fields_ = (("width", ctypes.c_int), ("data", _Vector))


class LlamaCpp:
    """A GGUF model in llama.cpp. Keys and values are kept in float32, products stay as quantised as the file."""

    def __init__(self, path: Path, n_tokens: int = 256) -> None:
        shared = find_spec("xllamacpp.xllamacpp").origin
        self.cpp, self.lib = ctypes.CDLL(shared), ffi.dlopen(shared)
        self.lib.llama_backend_init()
        self.model = self.lib.llama_model_load_from_file(str(path).encode(), self.lib.llama_model_default_params())
        assert self.model != ffi.NULL, f"llama.cpp does not load {path}"
        given = self.lib.llama_context_default_params()
        given.n_ctx, given.n_threads, given.n_threads_batch = n_tokens, N_THREADS, N_THREADS
        given.type_k = given.type_v = 0  # float32
        given.flash_attn_type = 0
        self.context = self.lib.llama_init_from_model(self.model, given)

    def logits(self, ids: Sequence[int]) -> np.ndarray:
        """Return the logits behind a text, (vocabulary,)."""
        self.lib.llama_memory_clear(self.lib.llama_get_memory(self.context), True)
        tokens = ffi.new("llama_token[]", list(ids))
        assert self.lib.llama_decode(self.context, self.lib.llama_batch_get_one(tokens, len(ids))) == 0
        n_vocab = self.lib.llama_vocab_n_tokens(self.lib.llama_model_get_vocab(self.model))
        found = self.lib.llama_get_logits_ith(self.context, -1)
        return np.frombuffer(ffi.buffer(found, 4 * n_vocab), np.float32).copy()

    def load_control_vector(self, path: Path, strength: float = 1.0) -> None:
        """Do what `llama-cli --control-vector-scaled` does, with llama.cpp's own reader of the file."""
        text = str(path).encode()
        kept = ctypes.create_string_buffer(bytes(_String(len(text), len(text), 1)) + text)
        info = _Info(strength, ctypes.addressof(kept) + ctypes.sizeof(_String))
        start = ctypes.addressof(info)
        infos, found = _Vector(start, start + ctypes.sizeof(info), start + ctypes.sizeof(info)), _Found()
        read = self.cpp._Z26common_control_vector_loadRKSt6vectorI31common_control_vector_load_infoSaIS0_EE
        read.restype, read.argtypes = None, (ctypes.c_void_p, ctypes.c_void_p)
        read(ctypes.byref(found), ctypes.byref(infos))
        assert found.width > 0, f"llama.cpp does not read {path}"
        data = ffi.cast("float *", found.data.first)
        n_layers = self.lib.llama_model_n_layer(self.model)
        size = (found.data.last - found.data.first) // 4
        done = self.lib.llama_set_adapter_cvec(self.context, data, size, found.width, 1, n_layers)
        assert done == 0, f"llama.cpp refuses {path}"
