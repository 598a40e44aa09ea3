-- Appended to limits.lua where concurrency is limited too: a request that the other limit refused was never
-- made.

local NAMESPACE = "argosy.limits"

function remember(handle, key)
  handle:streamInfo():dynamicMetadata():set(NAMESPACE, "counted", key)
end

function envoy_on_response(handle)
  if handle:headers():get("x-argosy-refused") ~= "concurrency" then
    return
  end
  local counted = handle:streamInfo():dynamicMetadata():get(NAMESPACE)
  local entry = counted and callers[counted.counted]
  if entry and entry.filled > 0 then
    entry.filled = entry.filled - 1
  end
end
