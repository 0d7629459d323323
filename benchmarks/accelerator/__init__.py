"""Everything that is to be known of a new device, in the order of its worth, in minutes.

A worker process measures step after step; the process that the user starts watches over it and writes each
result to disk. A step that outlasts its limit, or that ends the worker, costs no more than itself.
"""
