"""Operations of OpenAI's interface that nobody translates: a request goes up as it was sent, its answer goes
to the client as it comes. `operations` is the table of them, all that differs between one and another."""
