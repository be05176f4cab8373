"""The OpenAI dialect: errors, streams, transcripts, usage, operations. Pure."""
