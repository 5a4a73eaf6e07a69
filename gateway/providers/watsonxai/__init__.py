"""IBM watsonx.ai's API: chat that is nearly OpenAI's, embeddings, rerank, and the tokens that it wants."""
