"""The learned router: predicts each tier's quality and takes the cheapest tier that is good enough.

    features   a text as numbers: its structure, and its hashed words
    heads      the fitted small linear models and trees
    model      the combined and calibrated heads; one file
    fit        fitting, and out-of-fold prediction
    router     the Router

Needs numpy, from the extra `semantic`; nothing else imports this package.
"""
