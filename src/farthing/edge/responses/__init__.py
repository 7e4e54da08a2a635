"""The endpoints for clients of OpenAI's Responses."""
