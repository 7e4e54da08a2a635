"""The gateway's own requests: comparing answers, checking doubted ones, answering ahead.

They take the same journey as a client's (contract, limits, breaker, ledger), each leaves its receipt, and
clients come first. Nothing that fails here is ever seen by a client.
"""
