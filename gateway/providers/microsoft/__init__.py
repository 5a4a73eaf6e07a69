"""What Azure OpenAI has of its own: where its API is, Entra's tokens, its words for refusals."""
