"""Connections of HTTP/1.1, and of HTTP/2 where wanted, that bound whoever speaks them, below ASGI.

Law: a client is never waited for without end, and what two readers could understand differently is refused.
"""
