"""A trained model as a GGUF file: the graph, the vocabulary, the weights, and how they shrink."""
