"""The broker: the process that makes containers, and the processes it forks (spawner, init).

Everything here uses the standard library only and imports little: these processes are forked for every container,
and what they do not import they need not copy.
"""
