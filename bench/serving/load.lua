-- Sends the bodies of a file, one a line, in turns. Arguments: FILE; BENCH_ADDRESSES has a HOST:PORT for each thread.
-- Prints what it counted as one line of JSON.

local addresses, threads = {}, 0

function setup(thread)
   threads = threads + 1
   thread:set("number", threads)
   local given = os.getenv("BENCH_ADDRESSES") or ""
   for host, port in given:gmatch("([^:,]+):(%d+)") do
      addresses[#addresses + 1] = wrk.lookup(host, port)[1]
   end
   if #addresses > 0 then
      thread.addr = addresses[(threads - 1) % #addresses + 1]
   end
end

function init(arguments)
   requests, at = {}, number * 17
   for line in io.lines(arguments[1]) do
      requests[#requests + 1] = wrk.format("POST", nil, { ["Content-Type"] = "application/json" }, line)
   end
end

function request()
   at = at % #requests + 1
   return requests[at]
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      '{"requests":%d,"microseconds":%d,"p50":%d,"p99":%d,"longest":%d,"refused":%d,"broken":%d}\n',
      summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max,
      errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
