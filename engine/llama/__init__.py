"""llama.cpp, always in a process of its own: a hostile file may end that process, never ours."""
