"""Chat completions that a provider keeps for clients: who has which, for whom, and what may be asked about
them afterwards. Nothing that they say is kept here."""
