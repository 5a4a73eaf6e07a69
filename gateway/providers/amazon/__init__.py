"""What Amazon Bedrock has beside the Converse API: signatures, its binary event streams, models that are invoked."""
