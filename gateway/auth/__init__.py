"""Virtual keys: from a credential to a Principal."""
