"""One run on several devices, through `accelerate launch`.

The process that holds the devices (`engine.train.worker`) starts `accelerate launch` with a
configuration in the run's folder, and waits; `accelerate` starts one process a device. The first
of them is the run's only writer. Light: `sharing` (which rows go where), `launcher`. Heavy, for
those processes alone: `worker`, `ranks`, `loading`, `sharded`.
"""
