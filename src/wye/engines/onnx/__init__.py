"""Embeddings and reranking by ONNX Runtime, one child process per model."""
