"""What is odd about a dataset, found before step 1, kept, and repaired in bulk."""
