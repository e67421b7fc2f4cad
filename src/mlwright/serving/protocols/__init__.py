"""The languages a model can be asked in: each reads a body into columns, and writes the answer."""
