-- The model that a gRPC request names: fields 1 (name) and 2 (version) of ModelInferRequest,
-- ModelReadyRequest and ModelMetadataRequest. The message is looked at in windows: it may be large.

local WINDOW = 256
local INVALID_ARGUMENT = "3"
local UNIMPLEMENTED = "12"

local function refuse(handle, status, reason)
  handle:respond({[":status"] = "422", ["content-type"] = "application/json", ["grpc-status"] = status},
    '{"error":"' .. reason .. '","code":"invalid_request"}')
end

local function reader(body)
  local length = body:length()
  local window, first = "", 0
  local self = {length = length}

  function self.byte(place)
    if place >= length then
      return nil
    end
    if place < first or place >= first + #window then
      first = place
      window = body:getBytes(place, math.min(WINDOW, length - place))
    end
    return string.byte(window, place - first + 1)
  end

  -- The number and the place behind it.
  function self.varint(place)
    local value, factor = 0, 1
    for offset = 0, 9 do
      local byte = self.byte(place + offset)
      if not byte then
        return nil
      end
      value = value + (byte % 128) * factor
      if byte < 128 then
        return value, place + offset + 1
      end
      factor = factor * 128
    end
    return nil
  end

  return self
end

-- The place behind a field's value; for one of bytes its beginning too.
local function value_of(source, wire, place)
  if wire == 0 then
    local _, after = source.varint(place)
    return after
  elseif wire == 1 then
    return place + 8
  elseif wire == 5 then
    return place + 4
  elseif wire == 2 then
    local size, start = source.varint(place)
    return size and start + size, start
  end
  return nil
end

local function names_of(body)
  local source = reader(body)
  local place, names = 5, {}
  while place < source.length and not (names[1] and names[2]) do
    local tag, after = source.varint(place)
    if not tag then
      return nil
    end
    local field, finish, start = math.floor(tag / 8)
    finish, start = value_of(source, tag % 8, after)
    if not finish or finish > source.length then
      return nil
    end
    -- Fields come in the order of their numbers from every known client: what follows is only data.
    if field > 2 and names[1] then
      break
    end
    if field <= 2 and start and finish - start <= WINDOW then
      names[field] = body:getBytes(start, finish - start)
    end
    place = finish
  end
  return names
end

local function is_name(text)
  return string.match(text, "^[%w%._%-]+$") ~= nil
end

function envoy_on_request(handle)
  local body = handle:body()
  if not body or body:length() < 5 then
    return refuse(handle, INVALID_ARGUMENT, "the request holds no message")
  end
  if string.byte(body:getBytes(0, 1)) ~= 0 then
    return refuse(handle, UNIMPLEMENTED,
      "the message is compressed: set the metadata x-argosy-model to the model's name, or do not compress it")
  end
  local names = names_of(body)
  if not names then
    return refuse(handle, INVALID_ARGUMENT, "the message is not one of the Open Inference Protocol")
  end
  local model, version = names[1] or "", names[2] or ""
  if not is_name(model) or (version ~= "" and not is_name(version)) then
    return refuse(handle, INVALID_ARGUMENT, "the message names no model")
  end
  handle:headers():replace("x-argosy-model", model)
  if version ~= "" then
    handle:headers():replace("x-argosy-model-version", version)
  end
  handle:clearRouteCache()
end
