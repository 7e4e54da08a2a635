"""Whether a stored answer is right for another question: rules, and models."""
