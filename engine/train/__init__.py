"""Training jobs: recipes, detached workers, checkpoints that are whole or absent.

Light: `client` (the door), `recipe`, `spec`, `status`, `progress`, `checkpoints`, `examples`,
`blocks`, `asking`, `suites`, `doubts`, `control`, `failures`, `recording`, and of `devices` the
launcher. Heavy, for the worker's process alone: `worker`, `loading`, `batches`, `trainer`,
`watched`, `looking`, `answering`, `schedule`, `methods`, and of `devices` the rest.
"""
