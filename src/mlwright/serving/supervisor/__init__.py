"""The supervisor: a process that keeps listening sockets open, and a replica in each.

Law: who waits at one of its sockets is answered by some replica, whichever of them dies, and whatever is
changed. What to do next is decided by a pure function; nothing is kept in memory alone that the folder and
the replicas could not tell again.
"""
