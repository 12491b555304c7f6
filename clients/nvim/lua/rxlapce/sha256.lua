--- SHA-256 (FIPS 180-4) and HMAC (RFC 2104), since Neovim's own `sha256()` takes no NUL and knows no HMAC.
local bit = require('bit')
local band, bnot, bxor, rol, rshift, tobit = bit.band, bit.bnot, bit.bxor, bit.rol, bit.rshift, bit.tobit

local M = {}

local BLOCK_BYTES = 64

--- The first 32 bits of the fractional parts of a root of the first primes.
local function constants(count, power)
  local found, candidate = {}, 2
  while #found < count do
    local is_prime = true
    for divisor = 2, math.floor(math.sqrt(candidate)) do
      if candidate % divisor == 0 then
        is_prime = false
        break
      end
    end
    if is_prime then
      local root = candidate ^ power
      found[#found + 1] = tobit(math.floor((root - math.floor(root)) * 2 ^ 32))
    end
    candidate = candidate + 1
  end
  return found
end

local START = constants(8, 1 / 2)
local ROUNDS = constants(64, 1 / 3)

local function big_endian(value)
  return string.char(
    band(rshift(value, 24), 0xFF),
    band(rshift(value, 16), 0xFF),
    band(rshift(value, 8), 0xFF),
    band(value, 0xFF)
  )
end

local function compress(state, data, at, words)
  for n = 1, 16 do
    local a, b, c, d = data:byte(at + 4 * n - 4, at + 4 * n - 1)
    words[n] = tobit(a * 0x1000000 + b * 0x10000 + c * 0x100 + d)
  end
  for n = 17, 64 do
    local x, y = words[n - 15], words[n - 2]
    local s0 = bxor(rol(x, 25), rol(x, 14), rshift(x, 3))
    local s1 = bxor(rol(y, 15), rol(y, 13), rshift(y, 10))
    words[n] = tobit(words[n - 16] + s0 + words[n - 7] + s1)
  end
  local a, b, c, d, e, f, g, h = unpack(state)
  for n = 1, 64 do
    local s1 = bxor(rol(e, 26), rol(e, 21), rol(e, 7))
    local t1 = tobit(h + s1 + bxor(band(e, f), band(bnot(e), g)) + ROUNDS[n] + words[n])
    local s0 = bxor(rol(a, 30), rol(a, 19), rol(a, 10))
    local t2 = tobit(s0 + bxor(band(a, b), band(a, c), band(b, c)))
    h, g, f, e, d, c, b, a = g, f, e, tobit(d + t1), c, b, a, tobit(t1 + t2)
  end
  for n, value in ipairs({ a, b, c, d, e, f, g, h }) do
    state[n] = tobit(state[n] + value)
  end
end

--- The 32 bytes of the digest.
---@param data string
---@return string
function M.digest(data)
  local length = #data
  local padding = '\128' .. ('\0'):rep((55 - length) % 64)
  local bits = length * 8
  data = data .. padding .. big_endian(math.floor(bits / 2 ^ 32)) .. big_endian(bits % 2 ^ 32)
  local state, words = { unpack(START) }, {}
  for at = 1, #data, BLOCK_BYTES do
    compress(state, data, at, words)
  end
  local out = {}
  for n = 1, 8 do
    out[n] = big_endian(state[n])
  end
  return table.concat(out)
end

--- The 32 bytes of HMAC-SHA-256.
---@param key string
---@param message string
---@return string
function M.hmac(key, message)
  if #key > BLOCK_BYTES then
    key = M.digest(key)
  end
  key = key .. ('\0'):rep(BLOCK_BYTES - #key)
  local function padded(with)
    return (key:gsub('.', function(byte)
      return string.char(bxor(byte:byte(), with))
    end))
  end
  return M.digest(padded(0x5C) .. M.digest(padded(0x36) .. message))
end

---@param data string
---@return string lower-case hexadecimal digits
function M.hex(data)
  return (data:gsub('.', function(byte)
    return ('%02x'):format(byte:byte())
  end))
end

---@param digits string
---@return string|nil bytes, nil if `digits` is no even number of hexadecimal digits
function M.unhex(digits)
  if #digits % 2 == 1 or digits:find('[^%x]') then
    return nil
  end
  return (digits:gsub('%x%x', function(pair)
    return string.char(tonumber(pair, 16))
  end))
end

return M
