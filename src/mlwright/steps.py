"""The steps that every pipeline may use: `gate` and `register`."""

from mlwright.sdk.judgements import gate, register

__all__ = ["gate", "register"]
