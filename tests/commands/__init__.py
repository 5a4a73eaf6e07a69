"""The commands that administer a gateway."""
