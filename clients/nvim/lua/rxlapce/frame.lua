--- Frames of the wire protocol (docs/protocol.md, sections "Frame" and "Signing"): bytes in, frames or one error out.
local bit = require('bit')
local crc32 = require('rxlapce.crc32')
local sha256 = require('rxlapce.sha256')

local M = {}

M.MAGIC = 'CPAL'
M.VERSION = 1
M.HEADER_BYTES = 24
M.TRAILER_BYTES = 32
M.MAX_PAYLOAD_BYTES = 10 * 1024 * 1024
--- A signed way's batch of so many bytes must have had its trailer.
M.MAX_BATCH_BYTES = 65536

M.REQUEST = 0x10
M.SIGNED = 0x40
local SPOKEN = 0x04 + 0x08 + 0x10 + 0x20

---@class rxlapce.Frame
---@field type integer
---@field flags integer
---@field id number ids above 2^53 are rounded; this client makes none of those
---@field payload string

---@class rxlapce.Error
---@field name string out of the table in docs/protocol.md, section "Errors"
---@field message string

local function broken(name, message, ...)
  return { name = name, message = message:format(...) }
end

local function little_endian(value, bytes)
  local out = {}
  for n = 1, bytes do
    out[n] = string.char(value % 256)
    value = math.floor(value / 256)
  end
  return table.concat(out)
end

local function number_at(data, at, bytes)
  local value = 0
  for n = bytes - 1, 0, -1 do
    value = value * 256 + data:byte(at + n)
  end
  return value
end

--- A CRC-32 as the number that the header has.
local function checksum(start, payload)
  return crc32.of(payload, crc32.of('\0\0\0\0', crc32.of(start))) % 2 ^ 32
end

---@param number integer the message's type
---@param flags integer
---@param id number
---@param payload string
---@return string
function M.encode(number, flags, id, payload)
  local start = M.MAGIC
    .. string.char(M.VERSION, flags)
    .. little_endian(number, 2)
    .. little_endian(#payload, 4)
    .. little_endian(id, 8)
  return start .. little_endian(checksum(start, payload), 4) .. payload
end

--- Signs one way, a frame a batch.
---@class rxlapce.Signer
local Signer = {}
Signer.__index = Signer

---@param key string
function M.signer(key)
  return setmetatable({ key = key, counter = 0 }, Signer)
end

--- One frame as a batch of its own.
---@return string
function Signer:encode(number, flags, id, payload)
  local frame = M.encode(number, bit.bor(flags, M.SIGNED), id, payload)
  local trailer = sha256.hmac(self.key, little_endian(self.counter, 8) .. frame)
  self.counter = self.counter + 1
  return frame .. trailer
end

--- Turns bytes into frames, however they are cut. After an error nothing more is read.
---@class rxlapce.Decoder
---@field error rxlapce.Error|nil
local Decoder = {}
Decoder.__index = Decoder

---@class rxlapce.DecoderOptions
---@field known table<integer, any>|nil the types that this side receives
---@field key string|nil of a signed way: frames come out once their trailer has proved them
---@field peek boolean|nil let a frame be signed, and leave its trailer to the caller

---@param options rxlapce.DecoderOptions|nil
---@return rxlapce.Decoder
function M.decoder(options)
  options = options or {}
  return setmetatable({
    known = options.known,
    key = options.key,
    spoken = (options.key or options.peek) and SPOKEN + M.SIGNED or SPOKEN,
    pieces = {}, -- what is held: the start of a frame that is not whole
    held = 0,
    need = M.HEADER_BYTES, -- bytes that must be held before there is more to see
    batch = {},
    batch_frames = {},
    batch_bytes = 0,
    counter = 0,
  }, Decoder)
end

--- As much of magic and version as there is must be right.
local function check_start(data, at)
  local magic = data:sub(at, at + 3)
  if M.MAGIC:sub(1, #magic) ~= magic then
    return broken('BadMagic', 'a frame starts with %s, not %s', sha256.hex(M.MAGIC), sha256.hex(magic))
  end
  local version = data:byte(at + 4)
  if version and version ~= M.VERSION then
    return broken('BadVersion', 'a frame of version %d; this client speaks %d', version, M.VERSION)
  end
end

function Decoder:check_header(data, at)
  local problem = check_start(data, at)
  if problem then
    return problem
  end
  local flags, number, length = data:byte(at + 5), number_at(data, at + 6, 2), number_at(data, at + 8, 4)
  if bit.band(flags, bit.bnot(self.spoken)) ~= 0 then
    return broken('BadFlags', 'flags 0x%02x, which this connection does not speak', flags)
  elseif self.known and not self.known[number] then
    return broken('BadMessageType', 'message type 0x%04x, which does not go to a client', number)
  elseif length > M.MAX_PAYLOAD_BYTES then
    return broken('FrameTooLarge', 'a payload of %d bytes; the bound is %d', length, M.MAX_PAYLOAD_BYTES)
  end
end

--- The frame of `size` bytes at `at`, whose header was checked.
local function read_frame(data, at, size)
  local payload = data:sub(at + M.HEADER_BYTES, at + size - 1)
  if checksum(data:sub(at, at + 19), payload) ~= number_at(data, at + 20, 4) then
    return nil, broken('BadChecksum', 'the checksum of a frame of %d bytes does not match', size)
  end
  return {
    type = number_at(data, at + 6, 2),
    flags = data:byte(at + 5),
    id = number_at(data, at + 12, 8),
    payload = payload,
  }
end

--- Put a frame of a signed way to its batch, and all of that into `frames` once `trailer` has proved it.
function Decoder:take_signed(frame, bytes, trailer, frames)
  local batch = self.batch
  batch[#batch + 1] = bytes
  self.batch_frames[#self.batch_frames + 1] = frame
  self.batch_bytes = self.batch_bytes + #bytes
  if not trailer then
    if self.batch_bytes >= M.MAX_BATCH_BYTES then
      return broken('BadSignature', '%d bytes without a signature', self.batch_bytes)
    end
    return nil
  end
  local expected = sha256.hmac(self.key, little_endian(self.counter, 8) .. table.concat(batch))
  local different = 0
  for n = 1, M.TRAILER_BYTES do -- all of them, whichever is the first that differs
    different = bit.bor(different, bit.bxor(expected:byte(n), trailer:byte(n)))
  end
  if different ~= 0 then
    return broken('BadSignature', 'the signature of batch %d does not match', self.counter)
  end
  vim.list_extend(frames, self.batch_frames)
  self.batch, self.batch_frames, self.batch_bytes = {}, {}, 0
  self.counter = self.counter + 1
end

--- The frames that `data` completes, in order. Look at `error` afterwards: frames before it come all the same.
---@param data string
---@return rxlapce.Frame[]
function Decoder:feed(data)
  local frames = {}
  if self.error or data == '' then
    return frames
  end
  self.pieces[#self.pieces + 1] = data
  self.held = self.held + #data
  if self.held < self.need and self.held - #data >= M.HEADER_BYTES then
    return frames -- the rest of a payload: what was held is not looked at again
  end
  data = table.concat(self.pieces)
  local at = 1
  self.need = M.HEADER_BYTES
  while #data - at + 1 >= M.HEADER_BYTES do
    self.error = self:check_header(data, at)
    if self.error then
      break
    end
    local size = M.HEADER_BYTES + number_at(data, at + 8, 4)
    local signed = self.key and bit.band(data:byte(at + 5), M.SIGNED) ~= 0
    local whole = signed and size + M.TRAILER_BYTES or size
    if #data - at + 1 < whole then
      self.need = whole
      break
    end
    local frame, problem = read_frame(data, at, size)
    if frame and self.key then
      local trailer = signed and data:sub(at + size, at + whole - 1) or nil
      problem = self:take_signed(frame, data:sub(at, at + size - 1), trailer, frames)
    elseif frame then
      frames[#frames + 1] = frame
    end
    if problem then
      self.error = problem
      break
    end
    at = at + whole
  end
  local rest = self.error and '' or data:sub(at)
  if rest ~= '' and #rest < M.HEADER_BYTES then
    self.error = check_start(rest, 1)
  end
  self.pieces, self.held = { rest }, #rest
  return frames
end

--- The bytes have ended: the error of a frame, or a batch, that is not whole.
---@return rxlapce.Error|nil
function Decoder:close()
  if not self.error and (self.held > 0 or #self.batch_frames > 0) then
    self.error = broken('TruncatedFrame', 'the bytes ended inside a frame')
  end
  return self.error
end

return M
