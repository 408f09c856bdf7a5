"""A trained model carried away as one file or folder, and the proof that it is the same model.

The light face is `client` (export, verify), `plan`, `types` and `stages`; everything that needs
torch, numpy or llama.cpp runs in the child process `worker`.
"""
