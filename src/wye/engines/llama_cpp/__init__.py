"""llama.cpp, one child process per model, reached by HTTP over a unix socket in a private folder."""
