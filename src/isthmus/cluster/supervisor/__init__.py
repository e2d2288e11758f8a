"""The local cluster's scheduler: one process that outlives the gateway and starts, watches and ends wrappers.

    LocalCluster ──socket──► server ──► engine ──► slots        who may start (pure)
                                          │   └──► accounting   what was done (durable before a start)
                                          └──► launch ──► sandbox, cgroup ──► wrapper.sh ──► the program
    LocalCluster ───────────────────── attempts/<tag>/ ◄──────────┘  claim, end record

Killed at any moment it loses nothing: wrappers go on and write their own records, and the next supervisor reads
everything back from the attempts' directories. It imports the standard library and Isthmus' pure modules only.
"""
