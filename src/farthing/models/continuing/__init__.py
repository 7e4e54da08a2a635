"""A streamed answer that broke off goes on with another call, which is shown what the client has of it."""
