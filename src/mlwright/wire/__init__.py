"""Connections of HTTP/1.1, and HTTP/2 where it is wanted, that bound whoever speaks them, below an ASGI application.

Law: a client is never waited for without end, and what two readers could understand differently is refused.
"""
