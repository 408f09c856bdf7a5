"""The starter model: its small world, its tokenizer, its training recipe, its starter datasets."""
