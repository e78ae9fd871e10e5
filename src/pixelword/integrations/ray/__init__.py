"""Multiple machines: batch inference with Ray Data (`batch`), servers behind one address (`serving`), and replicas for
the rows of `pixelword batch` (`answering`).

`job` and `askers` do not depend on Ray: a job is a file of rows and a folder of parts, an asker answers a part.
"""
