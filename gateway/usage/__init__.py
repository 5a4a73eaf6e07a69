"""Token and cost accounting."""
