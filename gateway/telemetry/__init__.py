"""What the gateway tells about itself: numbers, log lines and names for requests.

meters            the registry: families of counters, gauges and histograms, true for all workers
families          one name's cells by label values, and how they are named in shared memory
directory         what other processes declared and counted there
exposition        the registry as Prometheus text, whole or in slices that leave the loop free
request_meters    every family about requests, with cells bundled per provider and model
process_meters    memory, CPU and descriptors of each process
memory_meters     how full the shared memory is
limit_meters      how full the table of limits is, and what happens in it
log_writer        lines to stderr or a file through one thread; a slow reader never stops the loop
json_line         one mapping, one line of JSON that always comes out
application_log   the standard library's logging as JSON lines
access_log        one line per request
request_id        the client's request id if it is sane, else a UUIDv7

Nothing here opens a connection, knows a provider, or sees a body, a header's value or a key.
This file imports nothing, so that asking for one part does not load the others.
"""
