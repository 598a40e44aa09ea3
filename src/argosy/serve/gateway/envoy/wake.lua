-- A gRPC request for replicas that are not there: the activator is asked for them, and answers when they are.
-- On its way to them it may pass here again, until the gateway has learned of them: then it is sent back.

local WAIT_MILLISECONDS = 60000

local function refuse(handle, reason)
  handle:respond({
    [":status"] = "503",
    ["content-type"] = "application/json",
    ["grpc-status"] = "14",
    ["x-argosy-asleep"] = "1",
  }, '{"error":"' .. reason .. '","code":"unavailable"}')
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local cluster = headers:get("x-argosy-cluster")
  if headers:get("x-argosy-woken") then
    return refuse(handle, "no replica is ready")
  end
  local model = headers:get("x-argosy-model")
  local answer = handle:httpCall("~activator", {
    [":method"] = "GET",
    [":path"] = model and ("/v1/models/" .. model) or "/v2/health/ready",
    [":authority"] = "localhost",
    ["x-argosy-cluster"] = cluster,
  }, "", WAIT_MILLISECONDS)
  if answer[":status"] ~= "200" then
    return refuse(handle, "no replica is ready")
  end
  headers:replace("x-argosy-woken", "1")
end
