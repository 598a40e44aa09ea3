-- How many requests each caller has made: at most `requests` in any `period` seconds.
--
-- Exact for up to BLOCKS requests. Above, requests are counted in BLOCKS blocks: a block opens again when
-- `period` has passed since the last request in it, so there are never more than `requests` in a period, and
-- no more than one block fewer. The state outlives changes of routes. One worker thread makes it one state.

local BLOCKS = 256
local FEWEST_SWEPT = 1024
local SHORT_BYTES = 65536
local NAMESPACE = "argosy.limits"

local callers = {}
local known = 0
local sweep_at = FEWEST_SWEPT

local function fresh(requests, period)
  local blocks = math.max(1, math.min(requests, BLOCKS))
  return {
    requests = requests,
    period = period,
    blocks = blocks,
    size = math.floor(requests / blocks),
    larger = requests % blocks,
    block = 0,
    filled = 0,
    newest = 0,
    last = {},
  }
end

-- Whoever made no request for a whole period is as good as unknown.
local function sweep(now)
  for key, entry in pairs(callers) do
    if entry.newest + entry.period <= now then
      callers[key] = nil
      known = known - 1
    end
  end
  sweep_at = math.max(FEWEST_SWEPT, 2 * known)
end

local function entry_of(key, requests, period, now)
  local entry = callers[key]
  if entry and entry.requests == requests and entry.period == period and entry.newest <= now then
    return entry
  end
  if not entry then
    if known >= sweep_at then
      sweep(now)
    end
    known = known + 1
  end
  entry = fresh(requests, period)
  callers[key] = entry
  return entry
end

-- Seconds until a request may be made; 0 if this one may, and then it is counted.
local function take(entry, now)
  if entry.requests < 1 then
    return entry.period
  end
  local capacity = entry.size
  if entry.block < entry.larger then
    capacity = capacity + 1
  end
  if entry.filled >= capacity then
    local following = (entry.block + 1) % entry.blocks
    local opens = (entry.last[following] or -entry.period) + entry.period
    if opens > now then
      return opens - now
    end
    entry.block = following
    entry.filled = 0
  end
  entry.filled = entry.filled + 1
  entry.last[entry.block] = now
  entry.newest = now
  return 0
end

local function quoted(text)
  local escaped = string.gsub(text, '[%c"\\]', function(character)
    return string.format("\\u%04x", string.byte(character))
  end)
  return '"' .. escaped .. '"'
end

-- An answer before the end of the request costs an HTTP/1.1 caller its connection: a short body is awaited.
local function await_short_body(handle)
  local length = tonumber(handle:headers():get("content-length") or "")
  if length and length > 0 and length <= SHORT_BYTES then
    handle:body()
  end
end

local function refuse(handle, facts, user, wait)
  local seconds = math.max(1, math.ceil(wait))
  local whose = user and ("user '" .. user .. "'") or "the anonymous caller at this address"
  local fields = {
    '"error":' .. quoted(string.format(
      "%s has made %d request%s to service '%s' in the last %g s, which is all that tier '%s' allows",
      whose, facts.requests, facts.requests == 1 and "" or "s", facts.service, facts.period, facts.tier)),
    '"code":"limited"',
    '"hint":' .. quoted(string.format("send the request again in %d s", seconds)),
    '"limit":"requests"',
    '"tier":' .. quoted(facts.tier),
    '"retry_after":' .. seconds,
  }
  if user then
    table.insert(fields, '"user":' .. quoted(user))
  end
  handle:respond({
    [":status"] = "429",
    ["content-type"] = "application/json",
    ["retry-after"] = tostring(seconds),
    ["x-argosy-refused"] = "requests",
    -- RESOURCE_EXHAUSTED; of no meaning to whoever does not speak gRPC.
    ["grpc-status"] = "8",
  }, "{" .. table.concat(fields, ",") .. "}")
end

local function facts_of(handle)
  local context = handle:filterContext()
  return {
    service = context:get("service"),
    tier = context:get("tier"),
    requests = context:get("requests"),
    period = context:get("period"),
  }
end

function envoy_on_request(handle)
  local facts = facts_of(handle)
  local user = handle:headers():get("x-argosy-user")
  local caller = user and ("u" .. user)
    or ("a" .. string.gsub(handle:streamInfo():downstreamRemoteAddress(), ":%d+$", ""))
  local key = facts.service .. " " .. facts.tier .. " " .. caller
  local now = handle:timestamp(EnvoyTimestampResolution.MILLISECOND) / 1000
  local wait = take(entry_of(key, facts.requests, facts.period, now), now)
  if wait > 0 then
    await_short_body(handle)
    refuse(handle, facts, user, wait)
  else
    handle:streamInfo():dynamicMetadata():set(NAMESPACE, "counted", key)
  end
end

-- A request that another limit refused was never made.
function envoy_on_response(handle)
  local refused = handle:headers():get("x-argosy-refused")
  if refused ~= "concurrency" and refused ~= "queue" then
    return
  end
  local counted = handle:streamInfo():dynamicMetadata():get(NAMESPACE)
  local entry = counted and callers[counted.counted]
  if entry and entry.filled > 0 then
    entry.filled = entry.filled - 1
  end
end
