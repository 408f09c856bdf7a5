"""What is measured: each benchmark prints ratios of one run and never asserts a time."""
