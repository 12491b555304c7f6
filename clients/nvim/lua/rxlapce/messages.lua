--- The messages that a client receives, checked: docs/protocol.md, section "Messages".
local json = require('rxlapce.json')

local M = {}

-- Each shape is a function that says what is wrong with a value, or nothing.

local function of_type(name)
  return function(value)
    if type(value) ~= name then
      return 'expected ' .. name
    end
  end
end

local text, boolean, number = of_type('string'), of_type('boolean'), of_type('number')

local function integer(value)
  if type(value) ~= 'number' or value ~= math.floor(value) then
    return 'expected an integer'
  end
end

local function null_or(shape)
  return function(value)
    if value ~= json.null then
      return shape(value)
    end
  end
end

local function array(shape)
  return function(value)
    if not json.is_array(value) then
      return 'expected an array'
    end
    for n, one in ipairs(value) do
      local problem = shape(one)
      if problem then
        return ('[%d]: %s'):format(n - 1, problem)
      end
    end
  end
end

local function word(...)
  local words = {}
  for _, one in ipairs({ ... }) do
    words[one] = true
  end
  return function(value)
    if not words[value] then
      return 'expected one of ' .. table.concat(vim.tbl_keys(words), ', ')
    end
  end
end

--- An object with these members; those in `optional` may be missing, and unknown ones are let be.
local function object(required, optional)
  return function(value)
    if not json.is_object(value) then
      return 'expected an object'
    end
    for name, shape in pairs(required) do
      local problem = value[name] == nil and 'is missing' or shape(value[name])
      if problem then
        return ('.%s: %s'):format(name, problem)
      end
    end
    for name, shape in pairs(optional or {}) do
      local problem = value[name] ~= nil and shape(value[name])
      if problem then
        return ('.%s: %s'):format(name, problem)
      end
    end
  end
end

local function any_object(value)
  if not json.is_object(value) then
    return 'expected an object'
  end
end

local function counts(value)
  local problem = any_object(value)
  if not problem then
    for name, count in pairs(value) do
      problem = problem or integer(count) and ('.%s: expected an integer'):format(name)
    end
  end
  return problem
end

local FINISH = word('stop', 'length', 'tool_calls', 'content_filter', 'refusal', 'pause', 'cancelled')
local count = null_or(integer)

local usage = object({}, {
  input = count,
  cached_input = count,
  cache_write = count,
  output = count,
  reasoning = count,
  total = count,
  cost_usd = null_or(number),
  source = word('provider', 'estimated', 'partial'),
  reported = any_object,
})

local finish = object({ kind = FINISH }, {
  raw = null_or(text),
  model = null_or(text),
  others = array(object({ choice = integer, kind = FINISH }, { raw = null_or(text) })),
})

local TOKENS = {
  text = object({ text = text }, { choice = integer }),
  reasoning = object({ text = text }, { signature = null_or(text), choice = integer }),
  refusal = object({ text = text }, { choice = integer }),
  tool_call = object({ index = integer }, {
    id = null_or(text),
    name = null_or(text),
    arguments_delta = text,
    choice = integer,
  }),
  usage = object({ usage = usage }),
  finish = finish,
  seam = object({ leg = integer, reason = text }),
  opaque = object({ kind = text, raw = text }, { choice = integer }),
}

local function token(value)
  local problem = any_object(value)
  if problem then
    return problem
  end
  local shape = type(value.type) == 'string' and TOKENS[value.type]
  return shape and shape(value) or not shape and '.type: no token has it' or nil
end

local failure = object({ kind = text, retry = text, phase = text, message = text }, {
  retry_after_s = null_or(number),
  status = count,
  provider = null_or(text),
  request_id = null_or(text),
  raw = null_or(text),
  delivered_chars = count,
})

local call = object({ id = null_or(text), name = null_or(text), arguments = text })

local model = object({ model = text }, {
  running = integer,
  waiting = integer,
  attempts = integer,
  finished = integer,
  failed = integer,
  cancelled = integer,
  errors = counts,
  tokens = integer,
  tokens_per_s = number,
  first_token_s = null_or(number),
  breaker = text,
  cause = null_or(text),
})

local provider = object({ name = text }, {
  usable = null_or(boolean),
  reason = null_or(text),
  origin = null_or(text),
})

local client = object({ number = integer, client = text, user = text, transport = text }, {
  signed = boolean,
  requests = integer,
  age_s = number,
  unread_bytes = integer,
  ring_bytes = integer,
})

M.NUMBERS = {
  cancel = 0x0205,
  chat_stream = 0x0303,
  credit = 0x0304,
  disconnect = 0x0012,
  handshake = 0x0010,
  heartbeat = 0x0005,
  models = 0x0305,
  status = 0x0020,
}

--- By the number of the type: its tag, and what its payload must be.
M.RECEIVED = {
  [0x0004] = { tag = 'error', shape = object({ error = text, message = text }) },
  [0x0005] = { tag = 'heartbeat', shape = object({}, { echo = boolean }) },
  [0x0011] = {
    tag = 'handshake_ack',
    shape = object({}, {
      version = integer,
      server = text,
      transport = word('shm', 'socket'),
      features = array(text),
      ring = null_or(object({ capacity = integer })),
      max_streams = integer,
      reason = null_or(text),
      nonce = null_or(text),
    }),
  },
  [0x0012] = { tag = 'disconnect', shape = object({}, { reason = text }) },
  [0x0013] = { tag = 'draining', shape = object({}, { within_s = number }) },
  [0x0021] = {
    tag = 'status_report',
    shape = object({ version = text, pid = integer, uptime_s = number }, {
      draining = boolean,
      memory_bytes = integer,
      open_files = integer,
      max_open_files = integer,
      tasks = integer,
      connections = integer,
      max_connections = integer,
      requests = integer,
      max_requests = integer,
      refused = counts,
      window_s = number,
      tokens_per_s = number,
      models = array(model),
      providers = array(provider),
      clients = array(client),
    }),
  },
  [0x0310] = {
    tag = 'complete',
    shape = object({ text = text, finish = FINISH }, {
      finish_raw = null_or(text),
      model = null_or(text),
      usage = null_or(usage),
    }),
  },
  [0x0311] = {
    tag = 'chat',
    shape = object({ text = text, finish = FINISH }, {
      finish_raw = null_or(text),
      reasoning = text,
      refusal = null_or(text),
      tool_calls = array(call),
      model = null_or(text),
      usage = null_or(usage),
      turn = null_or(any_object),
    }),
  },
  [0x0312] = { tag = 'stream_chunk', shape = object({ seq = integer, token = token }) },
  [0x0313] = { tag = 'stream_done', shape = object({ seq = integer, finish = finish }) },
  [0x0314] = { tag = 'error', shape = object({ seq = integer, error = failure }) },
  [0x0315] = {
    tag = 'models',
    shape = object({}, {
      models = array(object({ name = text }, { provider = null_or(text), asks = array(text) })),
      unlisted = array(object({ provider = text, message = text })),
    }),
  },
}

--- The members of a frame's message.
---@param frame rxlapce.Frame
---@return table|nil
---@return rxlapce.Error|nil
function M.decode(frame)
  local expected = M.RECEIVED[frame.type]
  if not expected then
    return nil, { name = 'BadMessageType', message = ('type 0x%04x does not go to a client'):format(frame.type) }
  end
  local value, problem = json.decode(frame.payload)
  if not problem then
    problem = any_object(value)
      or (value.type ~= expected.tag and ('.type: expected "%s"'):format(expected.tag))
      or expected.shape(value)
  end
  if problem then
    return nil, { name = 'BadPayload', message = ('payload of type 0x%04x: %s'):format(frame.type, problem) }
  end
  return value, nil
end

return M
