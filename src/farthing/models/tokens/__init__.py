"""How many tokens a text has: `estimate` for every request, `bpe` where the exact number matters."""
