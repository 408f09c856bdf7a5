"""Training jobs: recipes, detached workers, checkpoints that are whole or absent.

Light: `client` (the door), `recipe`, `spec`, `status`, `progress`, `checkpoints`, `examples`,
`blocks`, `control`, `failures`, `recording`, and of `devices` the launcher. Heavy, for the worker's
process alone: `worker`, `loading`, `batches`, `trainer`, `watched`, `schedule`, `probes`,
`methods`, and of `devices` the rest.
"""
