"""The learned router: predicts how good each tier's answer would be, and takes the cheapest that will do.

    features   a text as numbers: its structure, and its words by hash
    heads      the small linear models and trees that are fitted
    model      heads put together and calibrated; one file
    fit        how it is fitted, and predicted out of fold
    router     the Router

Needs numpy, of the extra `semantic`; nothing else imports this package.
"""
