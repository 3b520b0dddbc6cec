"""`edgellm bench`: latency and throughput of back ends, where the time goes, and whether a change made it better."""
