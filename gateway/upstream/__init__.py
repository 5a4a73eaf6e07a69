"""Sending calls to providers: engines, failover, stream relay."""
