"""One row as text: read strictly, taken apart and put together, every other byte kept."""
