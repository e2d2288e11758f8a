"""`isthmus serve`: one command to a working gateway.

`home` makes an empty folder a gateway's home, `running` keeps a web process and a controller going, `child` is how each
of them starts, so that none outlives its parent.
"""
