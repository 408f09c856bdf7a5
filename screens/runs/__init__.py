"""Every run with its loss; two of them compared."""
