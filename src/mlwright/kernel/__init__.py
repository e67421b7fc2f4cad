"""What every room stands on: errors, ids, time, digests, settings, plans, events, edges, leases, database.

Law: floor 0 imports nothing of ours above it, and importing it does nothing. Its modules are imported one
by one, so that what only needs an error does not pay for a database.
"""
