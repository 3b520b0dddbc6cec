"""The service: OpenAI's API over HTTP, on any number of back ends.

A request becomes an `Order`, and an order becomes tokens by a `Source`. Sources wrap one another: the response cache, the
sharing of identical requests, the queue with its admission, the pool of workers, a worker. Text, stop strings and
post-processing are made of the tokens at the edge (`runtime.model`, `runtime.completion`).
"""
