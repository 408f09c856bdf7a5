"""A chat template in Jinja as one for Ollama, and proof that both render the same."""
