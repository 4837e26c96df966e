"""llama.cpp, one child process per model, reached by HTTP over a unix socket in a private folder."""

from wye.engines.llama_cpp.engine import LlamaCppEngine

__all__ = ["LlamaCppEngine"]
