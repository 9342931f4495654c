-- GETs of one kind of path, each with a random number in it. Prints one line of JSON in place of a report for people.
local path = os.getenv("BENCH_PATH")
local below = tonumber(os.getenv("BENCH_BELOW"))
local before, kind, after = path:match("^(.-){(%a+)}(.*)$")

-- C2SP tlog-tiles: groups of three digits, all but the last with an x before them.
local function tile(n)
  local text = string.format("%03d", n % 1000)
  n = math.floor(n / 1000)
  while n > 0 do
    text = string.format("x%03d/", n % 1000) .. text
    n = math.floor(n / 1000)
  end
  return text
end

function init(args)
  math.randomseed(os.time())
end

function request()
  local n = math.random(0, below - 1)
  return wrk.format("GET", before .. (kind == "tile" and tile(n) or tostring(n)) .. after)
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '{"requests":%d,"durationUs":%d,"p50Us":%d,"p95Us":%d,"p99Us":%d,"refused":%d,"lost":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(95), latency:percentile(99),
    e.status, e.connect + e.read + e.write + e.timeout))
end
