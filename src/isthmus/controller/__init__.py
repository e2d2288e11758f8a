"""The only process that acts on clusters: under a lease for each, it turns stored states into actions and facts.

`Controller` holds the leases; `ClusterLoop` is what it does under one. Nothing here outlives the process but what is in
the store: a controller may be killed at any line and another goes on.
"""
