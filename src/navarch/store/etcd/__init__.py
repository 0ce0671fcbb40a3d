"""The store on etcd, which several API servers may share.

`connection` reaches it, `follow` watches it, `store` is the seam over both, `compaction` makes it forget. gRPC is
imported when one is opened, so that those who use another store do not pay for it.
"""
