"""From a call to an ordered list of deployments. Pure."""
