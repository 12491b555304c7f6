--- JSON, read exactly as RFC 8259 has it. Neovim's own reader takes NaN, hexadecimal numbers and half characters, and
--- cannot tell an empty array from an empty object.
local M = {}

--- Nested deeper than this is refused.
M.MAX_DEPTH = 128

--- What `null` becomes; Neovim's own, so that `vim.json.encode` writes it back.
M.null = vim.NIL

--- The metatable of arrays.
local ARRAY = { __name = 'array' }

---@param value any
---@return boolean
function M.is_array(value)
  return getmetatable(value) == ARRAY
end

---@param value any
---@return boolean
function M.is_object(value)
  return type(value) == 'table' and getmetatable(value) ~= ARRAY and value ~= M.null
end

local ESCAPES = { ['"'] = '"', ['\\'] = '\\', ['/'] = '/', b = '\b', f = '\f', n = '\n', r = '\r', t = '\t' }

local function fail(what, at)
  error({ json = ('%s at byte %d'):format(what, at) }, 0)
end

local function utf8_char(code)
  if code < 0x80 then
    return string.char(code)
  elseif code < 0x800 then
    return string.char(0xC0 + math.floor(code / 0x40), 0x80 + code % 0x40)
  elseif code < 0x10000 then
    return string.char(0xE0 + math.floor(code / 0x1000), 0x80 + math.floor(code / 0x40) % 0x40, 0x80 + code % 0x40)
  end
  return string.char(
    0xF0 + math.floor(code / 0x40000),
    0x80 + math.floor(code / 0x1000) % 0x40,
    0x80 + math.floor(code / 0x40) % 0x40,
    0x80 + code % 0x40
  )
end

--- The least second byte, and the most, behind a first byte (Unicode 15, table 3-7).
local function second_byte(first)
  if first == 0xE0 then
    return 0xA0, 0xBF
  elseif first == 0xED then
    return 0x80, 0x9F
  elseif first == 0xF0 then
    return 0x90, 0xBF
  elseif first == 0xF4 then
    return 0x80, 0x8F
  end
  return 0x80, 0xBF
end

--- Fail at the first byte that is no UTF-8.
local function check_utf8(text)
  local at = text:find('[\128-\255]')
  while at do
    local first = text:byte(at)
    local more = first >= 0xC2 and first <= 0xDF and 1
      or first >= 0xE0 and first <= 0xEF and 2
      or first >= 0xF0 and first <= 0xF4 and 3
    if not more then
      fail('no UTF-8', at)
    end
    local low, high = second_byte(first)
    for n = 1, more do
      local byte = text:byte(at + n)
      if not byte or byte < low or byte > high then
        fail('no UTF-8', at + n)
      end
      low, high = 0x80, 0xBF
    end
    at = text:find('[\128-\255]', at + more + 1)
  end
end

local function hex4(text, at)
  local digits = text:match('^%x%x%x%x', at)
  if not digits then
    fail('expected four hexadecimal digits', at)
  end
  return tonumber(digits, 16)
end

--- A string whose quote is at `at`; returns it and the place behind it.
local function read_string(text, at)
  local start = at + 1
  local stop = text:find('["\\%z\1-\31]', start)
  if stop and text:byte(stop) == 0x22 then
    return text:sub(start, stop - 1), stop + 1 -- nearly always: nothing is escaped
  end
  local parts = {}
  at = start
  while true do
    stop = text:find('["\\%z\1-\31]', at)
    if not stop then
      fail('a string without an end', start)
    end
    parts[#parts + 1] = text:sub(at, stop - 1)
    local byte = text:byte(stop)
    if byte == 0x22 then
      return table.concat(parts), stop + 1
    elseif byte ~= 0x5C then
      fail('a control character in a string', stop)
    end
    local kind = text:sub(stop + 1, stop + 1)
    if kind == 'u' then
      local code = hex4(text, stop + 2)
      at = stop + 6
      if code >= 0xD800 and code <= 0xDBFF then
        local low = text:sub(at, at + 1) == '\\u' and hex4(text, at + 2) or 0
        if low < 0xDC00 or low > 0xDFFF then
          fail('half a surrogate pair', stop)
        end
        code = 0x10000 + (code - 0xD800) * 0x400 + (low - 0xDC00)
        at = at + 6
      elseif code >= 0xDC00 and code <= 0xDFFF then
        fail('half a surrogate pair', stop)
      end
      parts[#parts + 1] = utf8_char(code)
    else
      parts[#parts + 1] = ESCAPES[kind] or fail('no escape', stop)
      at = stop + 2
    end
  end
end

local function read_number(text, at)
  local _, stop = text:find('^-?%d+', at)
  if not stop or text:find('^-?0%d', at) then
    fail('no number', at)
  end
  local _, fraction = text:find('^%.%d+', stop + 1)
  stop = fraction or stop
  local _, exponent = text:find('^[eE][+-]?%d+', stop + 1)
  stop = exponent or stop
  local value = tonumber(text:sub(at, stop))
  if value == math.huge or value == -math.huge then
    fail('a number too large', at)
  end
  return value, stop + 1
end

local read_value

local function skip(text, at)
  return text:find('[^ \t\r\n]', at) or #text + 1
end

local function read_array(text, at, depth)
  local out = setmetatable({}, ARRAY)
  at = skip(text, at + 1)
  if text:byte(at) == 0x5D then
    return out, at + 1
  end
  while true do
    out[#out + 1], at = read_value(text, at, depth)
    at = skip(text, at)
    local byte = text:byte(at)
    if byte == 0x5D then
      return out, at + 1
    elseif byte ~= 0x2C then
      fail('expected , or ]', at)
    end
    at = skip(text, at + 1)
  end
end

local function read_object(text, at, depth)
  local out = {}
  at = skip(text, at + 1)
  if text:byte(at) == 0x7D then
    return out, at + 1
  end
  while true do
    if text:byte(at) ~= 0x22 then
      fail('expected a name', at)
    end
    local name
    name, at = read_string(text, at)
    at = skip(text, at)
    if text:byte(at) ~= 0x3A then
      fail('expected :', at)
    end
    out[name], at = read_value(text, skip(text, at + 1), depth)
    at = skip(text, at)
    local byte = text:byte(at)
    if byte == 0x7D then
      return out, at + 1
    elseif byte ~= 0x2C then
      fail('expected , or }', at)
    end
    at = skip(text, at + 1)
  end
end

local WORDS = { t = { 'true', true }, f = { 'false', false }, n = { 'null', M.null } }

function read_value(text, at, depth)
  if depth > M.MAX_DEPTH then
    fail('nested too deep', at)
  end
  local byte = text:byte(at)
  if byte == 0x22 then
    return read_string(text, at)
  elseif byte == 0x7B then
    return read_object(text, at, depth + 1)
  elseif byte == 0x5B then
    return read_array(text, at, depth + 1)
  end
  local word = WORDS[text:sub(at, at)]
  if word then
    if text:sub(at, at + #word[1] - 1) ~= word[1] then
      fail('no value', at)
    end
    return word[2], at + #word[1]
  end
  return read_number(text, at)
end

--- The value of a JSON text.
---@param text string
---@return any value, nil if it is none
---@return string|nil problem
function M.decode(text)
  local good, value = pcall(function()
    check_utf8(text)
    local value, at = read_value(text, skip(text, 1), 1)
    if skip(text, at) <= #text then
      fail('more behind the value', at)
    end
    return value
  end)
  if good then
    return value, nil
  elseif type(value) == 'table' then
    return nil, value.json
  end
  error(value, 0)
end

return M
