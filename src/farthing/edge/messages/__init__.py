"""The front door of Anthropic's Messages: requests, answers, errors, the list of models, counts of tokens."""
