"""Amazon Bedrock's Converse API: one body for every model that chats there."""
