"""OpenAI's completions of before chat: a prompt, and the text that goes on from it."""
