"""Training jobs: recipes, detached workers, checkpoints that are whole or absent.

Light: `recipe`, `client`, `spec`, `checkpoints`, `progress`. Heavy, for the worker's process alone:
`worker`, `loading`, `trainer`, `saving`, `recording`, `probes`.
"""
