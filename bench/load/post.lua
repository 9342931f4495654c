-- POSTs single audit events, all distinct: the number in "requestId" counts up. Token and body come by the environment,
-- so that they stand in no list of processes. Prints one line of JSON in place of a report for people.
local body = os.getenv("BENCH_BODY")
local at = body:find('"req-', 1, true) + 4
local before, after = body:sub(1, at), body:sub(at + 13)
local count = 0
local head

function init(args)
  wrk.method = "POST"
  wrk.headers["Authorization"] = "Bearer " .. os.getenv("BENCH_TOKEN")
  wrk.headers["Content-Type"] = "application/json"
  local request = wrk.format(nil, nil, nil, body)
  head = request:sub(1, #request - #body)
end

function request()
  count = count + 1
  return head .. before .. string.format("%012d", count) .. after
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '{"requests":%d,"durationUs":%d,"p50Us":%d,"p95Us":%d,"p99Us":%d,"refused":%d,"lost":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(95), latency:percentile(99),
    e.status, e.connect + e.read + e.write + e.timeout))
end
