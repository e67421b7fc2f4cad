"""HTTP/1.1 connections that bound whoever speaks them, below an ASGI application.

Law: a client is never waited for without end, and what two readers could understand differently is refused.
"""
