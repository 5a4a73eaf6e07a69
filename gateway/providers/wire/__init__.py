"""What several dialects share: event streams, usage, errors, multipart forms. No dialect of its own."""
