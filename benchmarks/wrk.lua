-- The request comes from the environment, its body from a file; the result leaves as one line of JSON.
wrk.method = "POST"
local file = assert(io.open(os.getenv("BENCH_BODY_FILE"), "rb"))
wrk.body = file:read("*a")
file:close()
for name, value in os.getenv("BENCH_HEADERS"):gmatch("([^\n:]+): ([^\n]*)") do
  wrk.headers[name] = value
end

function done(summary, latency, requests)
  local failed = summary.errors
  io.write(string.format(
    "RESULT {\"requests\": %d, \"bytes\": %d, \"seconds\": %.6f, \"bad_status\": %d, \"broken\": %d}\n",
    summary.requests, summary.bytes, summary.duration / 1e6,
    failed.status, failed.connect + failed.read + failed.write + failed.timeout))
end
