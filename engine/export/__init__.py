"""A trained model carried away as one file or folder, and the proof that it is the same model.

The light face is `client` (export, verify), `plan`, `types`, `stages`, `sizes`, `advice`, `lines`;
what needs torch, numpy or llama.cpp runs in the child process `worker`. `gguf` writes files for
llama.cpp, `ollama` what Ollama wants beside one, and `proof` asks whether it is the same model.
"""
