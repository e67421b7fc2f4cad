"""What answers over HTTP: the doors of the rooms below, in one process.

Law: a route without a permission cannot be registered, and what is acknowledged is committed.
"""
