"""Logging in at a provider of OpenID Connect: it says who somebody is, and our settings say what they may."""
