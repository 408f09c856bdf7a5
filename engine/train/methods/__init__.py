"""Methods other than learning answers (heavy): preferences by TRL's DPO and KTO trainers.

Continued pre-training needs no trainer of its own: its blocks (`engine.train.blocks`) are rows of
which every token is trained.
"""
