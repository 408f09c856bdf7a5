"""What the machine has: light facts at once, facts about torch and its kin from a worker."""
