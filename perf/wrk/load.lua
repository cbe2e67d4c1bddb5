-- The load of perf/compare for wrk: DEPTH copies of one request at a time (1: wrk's own way, which
-- costs the client the least), and at the end one line of JSON with what wrk counted.

function init(args)
    local depth = tonumber(args[1]) or 1
    if depth > 1 then
        local one = wrk.format("GET")
        local all = string.rep(one, depth)
        request = function() return all end
    end
end

function done(summary, latency, requests)
    local e = summary.errors
    io.write(string.format(
        '\nJSON {"requests": %d, "duration_us": %d, "connect": %d, "read": %d, "write": %d, ' ..
        '"status": %d, "timeout": %d, "p50_us": %d, "p99_us": %d}\n',
        summary.requests, summary.duration, e.connect, e.read, e.write, e.status, e.timeout,
        latency:percentile(50), latency:percentile(99)))
end
