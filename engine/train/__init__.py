"""Training jobs: recipes, detached workers, checkpoints that are whole or absent.

Light: `client` (the door), `recipe`, `spec`, `status`, `progress`, `checkpoints`, `examples`,
`control`, `failures`, `recording`. Heavy, for the worker's process alone: `worker`, `loading`,
`batches`, `trainer`, `schedule`, `probes`.
"""
