"""Google's generateContent API, as the Gemini API and Vertex AI have it: bodies, not addresses."""
