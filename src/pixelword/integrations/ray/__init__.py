"""Many machines: rows answered by replicas with Ray Data (`batch`), servers behind one address (`serving`).

`job` and `askers` know nothing of Ray: a job is a file of rows and a folder of parts, an asker answers a part.
"""
