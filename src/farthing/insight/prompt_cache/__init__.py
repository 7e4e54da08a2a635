"""What providers' prompt caches did, from the ledger: of a call, a session, an endpoint."""
