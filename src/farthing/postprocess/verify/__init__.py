"""Whether an answer is good enough, by what can be checked of it."""
