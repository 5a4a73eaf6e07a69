"""What a configuration may say, as pydantic models. They check and describe; compiling reads the plain data."""
