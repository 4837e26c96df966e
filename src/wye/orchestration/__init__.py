"""Several models for one answer: each mode a model name, over whatever models the gateway reaches."""
