"""Model files: finding them, fetching them, and trusting none without its hash."""

from wye.engines.weights.gguf import GgufHeader, read_header
from wye.engines.weights.local import LocalWeights, card_of_file

__all__ = ["GgufHeader", "LocalWeights", "card_of_file", "read_header"]
