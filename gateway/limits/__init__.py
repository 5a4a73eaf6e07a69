"""Rate limits and concurrency: one atomic script reserves, another settles."""
