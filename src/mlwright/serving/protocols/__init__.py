"""How clients may ask: each protocol reads its requests into what a model is asked, and writes its answers.

A protocol is a module with one function, `routes`, of the models that are loaded.
"""
