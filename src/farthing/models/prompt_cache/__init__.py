"""What providers have cached of prompts: their terms, what sessions sent, and why a call was read or not."""
