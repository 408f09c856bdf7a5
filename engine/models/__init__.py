"""Model references and what lies behind them: folders, runs, checkpoints, GGUF files.

Light: reads JSON, file sizes and hashes. Does not load weights.
"""
