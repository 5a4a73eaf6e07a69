"""What Vertex AI has beside Google's models: accounts of Google Cloud, its own embeddings, Claude."""
