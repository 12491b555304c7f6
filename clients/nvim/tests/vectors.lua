--- The vectors of the protocol, each whole, byte by byte, and in two pieces cut at every place.
local here = debug.getinfo(1, 'S').source:sub(2):match('(.*/)')
package.path = here .. '?.lua;' .. package.path
local T = require('harness')
local frame = require('rxlapce.frame')
local json = require('rxlapce.json')
local messages = require('rxlapce.messages')
local sha256 = require('rxlapce.sha256')
local signing = require('rxlapce.signing')

local root = here .. '../../../protocol/vectors/'
local keys = json.decode(T.read(root .. 'signing.json'))
local TERMINAL = { [0x0313] = true, [0x0314] = true }
--- Longer ones are cut near their ends alone.
local CUT_EVERYWHERE = 4096

--- What a client makes of bytes in pieces: the frames, and the name of the error.
local function read(name, pieces)
  local signed = keys.vectors['valid/' .. name] or keys.vectors['invalid/' .. name]
  local decoder = frame.decoder({ known = messages.RECEIVED, key = signed and sha256.unhex(signed.key) })
  local frames, problem, counted = {}, nil, {}
  local function take(one)
    local message, wrong = messages.decode(one)
    if not wrong and (one.type == 0x0312 or TERMINAL[one.type]) then
      if message.seq ~= (counted[one.id] or 0) then
        wrong = { name = 'SequenceGap' }
      end
      counted[one.id] = not TERMINAL[one.type] and message.seq + 1 or nil
    end
    if wrong then
      problem = wrong.name
    else
      frames[#frames + 1] = { type = one.type, flags = one.flags, id = one.id, payload = message }
    end
  end
  for _, piece in ipairs(pieces) do
    for _, one in ipairs(decoder:feed(piece)) do
      if not problem then
        take(one)
      end
    end
  end
  local ended = decoder:close()
  return frames, problem or (ended and ended.name)
end

local function in_pieces(data)
  local ways = { { data } }
  local bytes = {}
  for at = 1, #data do
    bytes[at] = data:sub(at, at)
  end
  ways[2] = bytes
  for at = 1, #data - 1 do
    if #data <= CUT_EVERYWHERE or at < 200 or at > #data - 200 then
      ways[#ways + 1] = { data:sub(1, at), data:sub(at + 1) }
    end
  end
  return ways
end

local function names(folder)
  local found = {}
  for _, path in ipairs(vim.fn.glob(root .. folder .. '/to-client-*.bin', true, true)) do
    found[#found + 1] = vim.fn.fnamemodify(path, ':t:r')
  end
  return found
end

--- `null`, arrays and objects as plain tables, so that they compare.
local function plain(value)
  return vim.json.decode(vim.json.encode(value))
end

for _, name in ipairs(names('valid')) do
  T.test(name, function()
    local data = T.read(root .. 'valid/' .. name .. '.bin')
    local expected = json.decode(T.read(root .. 'valid/' .. name .. '.json'))
    local whole
    for n, pieces in ipairs(in_pieces(data)) do
      local frames, problem = read(name, pieces)
      T.equal(problem, nil, 'error')
      if n == 1 then
        whole = frames
        T.equal(#frames, #expected, 'frames')
        for at, one in ipairs(frames) do
          T.equal({ one.type, one.flags, one.id }, { expected[at].type, expected[at].flags, expected[at].id }, 'head')
          T.equal(plain(one.payload), plain(expected[at].payload), 'payload')
        end
      else
        T.equal(frames, whole, 'frames')
      end
    end
  end)
end

for _, name in ipairs(names('invalid')) do
  -- What the first frame of a connection may be, the client's own test says.
  if not name:find('^to%-client%-handshake') then
    T.test(name, function()
      local data = T.read(root .. 'invalid/' .. name .. '.bin')
      local expected = json.decode(T.read(root .. 'invalid/' .. name .. '.json')).error
      local whole
      for _, pieces in ipairs(in_pieces(data)) do
        local frames, problem = read(name, pieces)
        T.equal(problem, expected, 'error')
        whole = whole or frames
        T.equal(frames, whole, 'frames')
        if keys.vectors['invalid/' .. name] then
          T.equal(#frames, keys.vectors['invalid/' .. name].frames, 'frames that are proved')
        end
      end
    end)
  end
end

for n, one in ipairs(keys.derivations) do
  T.test('derivation ' .. n, function()
    local made =
      signing.keys(sha256.unhex(one.secret), sha256.unhex(one.client_nonce), sha256.unhex(one.daemon_nonce), one.handshake)
    for label, digits in pairs(one.keys) do
      T.equal(sha256.hex(made[label]), digits, label)
    end
  end)
end

T.test('what the client sends is what the vectors have', function()
  for _, name in ipairs({ 'to-daemon-cancel', 'to-daemon-heartbeat-full', 'to-daemon-status' }) do
    local path = root .. 'valid/' .. name
    if vim.fn.filereadable(path .. '.bin') == 1 then
      local data = T.read(path .. '.bin')
      local frames = frame.decoder():feed(data)
      local again = {}
      for at, one in ipairs(frames) do
        again[at] = frame.encode(one.type, one.flags, one.id, one.payload)
      end
      T.equal(table.concat(again), data, name)
    end
  end
end)

T.finish()
