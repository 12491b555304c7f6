--- The connection to the daemon: one for all of Neovim, which comes back by itself.
local config = require('rxlapce.config')
local frame = require('rxlapce.frame')
local json = require('rxlapce.json')
local messages = require('rxlapce.messages')
local signing = require('rxlapce.signing')

local uv = vim.uv or vim.loop

local M = {}

local HANDSHAKE_MS = 5000
--- How often a client without a daemon looks for one.
local LOOK_MS = 50
local TERMINAL = { [0x0310] = true, [0x0311] = true, [0x0313] = true, [0x0314] = true, [0x0021] = true, [0x0315] = true }

---@class rxlapce.Client
---@field state 'connecting'|'connected'|'disconnected'|'error'
---@field reason string|nil why it is not connected
local Client = {}
Client.__index = Client

---@class rxlapce.Handler
---@field on_token fun(token: table)|nil
---@field on_done fun(message: table)
---@field on_error fun(error: table) `{ kind, message, ... }` as in docs/protocol.md, section "Errors"

---@param options table as `config.checked` gives them
---@return rxlapce.Client
function M.new(options)
  return setmetatable({
    options = options,
    state = 'disconnected',
    reason = nil,
    server = nil,
    next_id = 1,
    running = {}, ---@type table<integer, table>
    waiting = {}, -- what is called when the connection stands, or cannot be had
    listeners = {},
  }, Client)
end

--- Call `listener(state, reason)` at each change.
function Client:on_state(listener)
  self.listeners[#self.listeners + 1] = listener
end

function Client:become(state, reason)
  if state == self.state and reason == self.reason then
    return
  end
  self.state, self.reason = state, reason
  for _, listener in ipairs(self.listeners) do
    listener(state, reason)
  end
end

-- Connecting --------------------------------------------------------------------------------------------------------

--- Why the socket at `path` is not to be trusted, or is not there.
local function unfit(path)
  local found = uv.fs_stat(path)
  if not found then
    return ('no daemon at %s; start it with: rxlapce serve'):format(path)
  elseif found.uid ~= uv.getuid() then
    return ('%s belongs to another user'):format(path)
  end
end

--- The user that the other end of a socket runs as (SO_PEERCRED); nil where LuaJIT or the system cannot tell.
local function peer_uid(pipe)
  if uv.os_uname().sysname ~= 'Linux' then
    return nil
  end
  local good, uid = pcall(function()
    local ffi = require('ffi')
    pcall(ffi.cdef, 'int getsockopt(int, int, int, void *, unsigned int *);')
    local credentials, size = ffi.new('int[3]'), ffi.new('unsigned int[1]', 12)
    local SOL_SOCKET, SO_PEERCRED = 1, 17
    if ffi.C.getsockopt(pipe:fileno(), SOL_SOCKET, SO_PEERCRED, credentials, size) ~= 0 then
      return nil
    end
    return credentials[1]
  end)
  return good and uid or nil
end

--- Have a connection, and call `done(problem)` then.
---@param done fun(problem: string|nil)
function Client:ensure(done)
  if self.state == 'connected' and not self.draining then
    return done(nil)
  end
  self.waiting[#self.waiting + 1] = done
  if self.state ~= 'connecting' then
    self:open()
  end
end

function Client:settle(problem)
  local waiting = self.waiting
  self.waiting = {}
  for _, done in ipairs(waiting) do
    done(problem)
  end
end

--- The handshake's payload, and what proves and signs afterwards.
function Client:handshake()
  local message = { type = 'handshake', versions = { 1 }, client = 'nvim', transport = 'socket', features = { 'drain' } }
  local key_file = self.options.key_file or vim.env.RXLAPCE_KEY_FILE
  if key_file and key_file ~= '' then
    local key, problem = signing.read(vim.fn.expand(key_file), self.options.key)
    if not key then
      return nil, nil, problem
    end
    local nonce = signing.nonce()
    message.features = { 'drain', 'sign' }
    message.nonce = require('rxlapce.sha256').hex(nonce)
    message.key = key.name
    return vim.json.encode(message), { secret = key.secret, nonce = nonce }, nil
  end
  return vim.json.encode(message), nil, nil
end

function Client:open()
  local path = config.socket(self.options)
  local problem = unfit(path)
  if problem then
    return self:fail_to_open('disconnected', problem)
  end
  local payload, key
  payload, key, problem = self:handshake()
  if not payload then
    return self:fail_to_open('error', problem)
  end
  self:become('connecting', nil)
  local pipe = uv.new_pipe(false)
  local link = { pipe = pipe, payload = payload, key = key, heard = {} }
  link.decoder = frame.decoder({ known = messages.RECEIVED, peek = key ~= nil })
  self.link = link
  link.timer = uv.new_timer()
  link.timer:start(HANDSHAKE_MS, 0, vim.schedule_wrap(function()
    self:lose(link, 'error', 'the daemon did not answer the handshake')
  end))
  pipe:connect(path, vim.schedule_wrap(function(failure)
    if self.link ~= link then
      return
    elseif failure then
      return self:lose(link, 'disconnected', ('no daemon answers at %s (%s); start it with: rxlapce serve'):format(path, failure))
    end
    local uid = peer_uid(pipe)
    if uid and uid ~= uv.getuid() then
      return self:lose(link, 'error', ('the daemon at %s runs as another user'):format(path))
    end
    pipe:read_start(function(broken, data)
      -- The bytes are read in Neovim's own turn: handlers may then do whatever they like.
      vim.schedule(function()
        self:hear(link, broken, data)
      end)
    end)
    pipe:write(frame.encode(messages.NUMBERS.handshake, frame.REQUEST, 0, payload))
  end))
end

function Client:fail_to_open(state, problem)
  self:become(state, problem)
  self:settle(problem)
end

-- Hearing -----------------------------------------------------------------------------------------------------------

function Client:hear(link, broken, data)
  if self.link ~= link and not link.retired then
    return
  elseif broken or not data then
    local torn = link.decoder:close()
    local why = link.goodbye and ('it said %q'):format(link.goodbye) or torn and torn.message or broken
    return self:lose(link, 'disconnected', 'the daemon closed the connection' .. (why and ': ' .. why or ''))
  end
  if link.key and not link.agreed then
    link.heard[#link.heard + 1] = data
  end
  for _, one in ipairs(link.decoder:feed(data)) do
    if link.closed then
      return
    elseif not link.agreed then
      if self:agree(link, one) then
        return -- on a signed connection: all that came was read anew, by the decoder that proves it
      end
    else
      self:take(link, one)
    end
  end
  if link.decoder.error and not link.closed then
    self:lose(link, 'error', ('the daemon broke the protocol (%s): %s'):format(link.decoder.error.name, link.decoder.error.message))
  end
end

--- The first frame of a connection; true if its bytes, and those behind them, have been taken care of.
function Client:agree(link, one)
  local ack, problem = messages.decode(one)
  if problem then
    return self:lose(link, 'error', problem.message)
  elseif one.type == 0x0004 then
    return self:lose(link, 'error', ('the daemon refused: %s'):format(ack.message))
  elseif one.type ~= 0x0011 then
    return self:lose(link, 'error', 'the daemon did not answer with an acknowledgement')
  elseif (ack.version or 1) ~= 1 or (ack.transport or 'socket') ~= 'socket' or (ack.ring or json.null) ~= json.null then
    return self:lose(link, 'error', 'the daemon granted what was not asked for')
  end
  link.agreed = true
  if link.key then
    if not vim.tbl_contains(ack.features or {}, 'sign') then
      return self:lose(link, 'error', 'the daemon does not sign, and this client is to talk to one that does')
    end
    local heard = table.concat(link.heard)
    link.signer, link.decoder = signing.ways(link.key.secret, link.key.nonce, link.payload, ack, messages.RECEIVED)
    link.key, link.heard = nil, nil
    local frames = link.decoder and link.decoder:feed(heard) or {}
    if #frames == 0 then
      return self:lose(link, 'error', "the daemon's signature is wrong: it has another secret of that name")
    end
    self:stand(link, ack)
    for at = 2, #frames do
      self:take(link, frames[at])
    end
    return true
  end
  self:stand(link, ack)
  return false
end

function Client:stand(link, ack)
  link.timer:stop()
  self.server = ack.server
  self.draining = false
  self:stop_looking()
  self:become('connected', nil)
  self:settle(nil)
end

function Client:take(link, one)
  local message, problem = messages.decode(one)
  if problem then
    return self:lose(link, 'error', problem.message)
  end
  local request = self.running[one.id]
  if request and request.link ~= link then
    request = nil
  end
  if one.type == 0x0012 then
    link.goodbye = message.reason or ''
  elseif one.type == 0x0013 then
    self:retire(link)
  elseif one.type == 0x0004 then
    self:lose(link, 'error', ('the daemon says that this client broke the protocol: %s'):format(message.message))
  elseif one.type == 0x0005 then
    if message.echo then
      self:say(link, 'heartbeat', one.id, { echo = false })
    end
  elseif request then
    if one.type == 0x0312 or one.type == 0x0313 or (one.type == 0x0314 and request.stream) then
      if message.seq ~= request.seq then
        return self:lose(link, 'error', ('stream %d: expected frame %d, got %d'):format(one.id, request.seq, message.seq))
      end
      request.seq = request.seq + 1
    end
    if TERMINAL[one.type] then
      self.running[one.id] = nil
      if one.type == 0x0314 then
        request.on_error(message.error)
      else
        request.on_done(message)
      end
      self:close_retired(link)
    elseif one.type == 0x0312 then
      request.on_token(message.token)
      request.untold = request.untold + 1
      if request.untold >= math.max(1, math.floor(self.options.window / 2)) and self.running[one.id] == request then
        self:say(link, 'credit', one.id, { frames = request.untold })
        request.untold = 0
      end
    end
  end
end

-- The end -----------------------------------------------------------------------------------------------------------

--- A daemon that drains takes nothing new: what runs may finish, and the next request finds another one.
function Client:retire(link)
  link.retired = true
  if self.link == link then
    self.link = nil
    self.draining = false
    self:become('disconnected', 'the daemon is stopping')
    self:look()
  end
  self:close_retired(link)
end

function Client:close_retired(link)
  if link.retired and not link.closed then
    for _, request in pairs(self.running) do
      if request.link == link then
        return
      end
    end
    self:close(link)
  end
end

function Client:close(link)
  link.closed = true
  link.timer:stop()
  for _, handle in ipairs({ link.timer, link.pipe }) do
    if not handle:is_closing() then
      handle:close()
    end
  end
end

--- The connection is over: each request on it ends in an error that says so.
function Client:lose(link, state, reason)
  if link.closed then
    return true
  end
  self:close(link)
  if self.link == link then
    self.link = nil
    self:become(state, reason)
    self:settle(reason)
    if link.agreed and state == 'disconnected' then
      self:look()
    end
  end
  for id, request in pairs(self.running) do
    if request.link == link then
      self.running[id] = nil
      request.on_error({ kind = 'network', phase = 'flow', retry = 'same', message = reason })
    end
  end
  return true
end

--- Look for a daemon until there is one, or for `reconnect_ms`.
function Client:look()
  if self.looking then
    return
  end
  local timer, until_ms = uv.new_timer(), uv.now() + self.options.reconnect_ms
  self.looking = timer
  timer:start(LOOK_MS, LOOK_MS, vim.schedule_wrap(function()
    if self.looking ~= timer then
      return
    elseif uv.now() > until_ms then
      self:stop_looking()
    elseif self.state == 'disconnected' and not unfit(config.socket(self.options)) then
      self:open()
    end
  end))
end

function Client:stop_looking()
  local timer = self.looking
  self.looking = nil
  if timer then
    timer:stop()
    timer:close()
  end
end

--- Close in order; what is under way ends in an error.
function Client:shutdown()
  self:stop_looking()
  local link = self.link
  if link then
    if link.agreed and not link.closed then
      self:say(link, 'disconnect', 0, { reason = 'nvim closes' })
    end
    self:lose(link, 'disconnected', 'the connection was closed by this side')
    self:stop_looking()
  end
end

-- Asking ------------------------------------------------------------------------------------------------------------

function Client:say(link, tag, id, members)
  members.type = tag
  local number, payload = messages.NUMBERS[tag], vim.json.encode(members)
  local bytes = link.signer and link.signer:encode(number, frame.REQUEST, id, payload)
    or frame.encode(number, frame.REQUEST, id, payload)
  link.pipe:write(bytes)
end

--- Send a request as soon as there is a connection. Returns a function that cancels it.
---@param tag string
---@param members table
---@param handler rxlapce.Handler
---@param stream boolean
---@return fun()
function Client:ask(tag, members, handler, stream)
  local request = {
    on_token = handler.on_token,
    on_done = handler.on_done,
    on_error = handler.on_error,
    stream = stream,
    seq = 0,
    untold = 0,
  }
  local id, is_over = nil, false
  self:ensure(function(problem)
    if is_over then
      return
    elseif problem then
      is_over = true
      return request.on_error({ kind = 'network', phase = 'connect', retry = 'same', message = problem })
    end
    id = self.next_id
    self.next_id = id + 1
    request.link = self.link
    self.running[id] = request
    self:say(self.link, tag, id, members)
  end)
  return function()
    if not id and not is_over then
      is_over = true
      request.on_error({ kind = 'cancelled', phase = 'admit', retry = 'never', message = 'cancelled before it was sent' })
    elseif id and self.running[id] == request then
      self:say(request.link, 'cancel', id, vim.empty_dict())
    end
  end
end

--- The answer to `request` as a stream of tokens.
---@param request table as in docs/protocol.md, "ChatRequest"
---@param handler rxlapce.Handler
---@return fun() cancel
function Client:chat_stream(request, handler)
  return self:ask('chat_stream', { request = request, credit = self.options.window }, handler, true)
end

--- Which models there are.
---@param done fun(list: table|nil, error: table|nil)
function Client:models(done)
  self:question('models', done)
end

--- How the daemon is.
---@param done fun(report: table|nil, error: table|nil)
function Client:status(done)
  self:question('status', done)
end

function Client:question(tag, done)
  self:ask(tag, {}, {
    on_done = function(message)
      done(message, nil)
    end,
    on_error = function(error)
      done(nil, error)
    end,
  }, false)
end

return M
