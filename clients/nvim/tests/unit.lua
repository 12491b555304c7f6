--- What needs no daemon.
local here = debug.getinfo(1, 'S').source:sub(2):match('(.*/)')
package.path = here .. '?.lua;' .. package.path
local T = require('harness')
local answers = require('rxlapce.answer')
local config = require('rxlapce.config')
local crc32 = require('rxlapce.crc32')
local json = require('rxlapce.json')
local sha256 = require('rxlapce.sha256')
local signing = require('rxlapce.signing')

T.test('the checksum has its check value', function()
  T.equal(crc32.of('123456789') % 2 ^ 32, 0xCBF43926)
  T.equal(crc32.of('6789', crc32.of('12345')), crc32.of('123456789'))
end)

T.test('SHA-256 has the digests of FIPS 180-4 and HMAC that of RFC 4231', function()
  T.equal(sha256.hex(sha256.digest('')), 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
  T.equal(sha256.hex(sha256.digest('abc')), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
  local long = sha256.digest(('a'):rep(1000000))
  T.equal(sha256.hex(long), 'cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0')
  for length = 54, 66 do
    T.equal(sha256.hex(sha256.digest(('x'):rep(length))), vim.fn.sha256(('x'):rep(length)), 'of ' .. length)
  end
  T.equal(
    sha256.hex(sha256.hmac(('\170'):rep(131), 'Test Using Larger Than Block-Size Key - Hash Key First')),
    '60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54'
  )
end)

T.test('what is no JSON is refused', function()
  local bad = { '', ' ', '[1,]', '{"a":1,}', 'NaN', '01', '1.', '.5', '-', '+1', '1e999', '0x10', 'nul', '"\\ud800"' }
  vim.list_extend(bad, { '"\\x"', '"\t"', '"a', '[', '{"a"}', '1 2', '\239\187\191{}', '"\237\160\128"', '"\192\128"' })
  bad[#bad + 1] = ('['):rep(1000) .. (']'):rep(1000)
  for _, text in ipairs(bad) do
    local value, problem = json.decode(text)
    T.equal({ value, type(problem) }, { nil, 'string' }, text:sub(1, 20))
  end
end)

T.test('JSON keeps empty arrays and objects apart', function()
  local value = json.decode('{"a":[],"b":{},"c":null,"d":"\\u00e9\\ud83d\\ude00\\n","e":-1.5e2}')
  T.equal({ json.is_array(value.a), json.is_object(value.a) }, { true, false })
  T.equal({ json.is_array(value.b), json.is_object(value.b) }, { false, true })
  T.equal({ value.c == json.null, value.d, value.e }, { true, 'é😀\n', -150 })
end)

local function texts(...)
  return vim.tbl_map(function(text)
    return { type = 'text', text = text }
  end, { ... })
end

T.test('seams keep, rewind and restart what was said', function()
  local call = { type = 'tool_call', index = 0, id = 'c', name = 'f', arguments_delta = '{' }
  for reason, expected in pairs({
    ['continue: cut'] = 'abc',
    ['continue'] = 'abc',
    ['unknown'] = 'abc',
    ['rewind: cut'] = 'ac',
    ['restart'] = 'c',
    ['restarted'] = 'abc',
  }) do
    local answer = answers.new()
    answer:add(texts('a')[1])
    answer:add(call)
    answer:add(texts('b')[1])
    answer:add({ type = 'seam', leg = 1, reason = reason })
    answer:add(texts('c')[1])
    T.equal(answer:said('text'), expected, reason)
  end
end)

T.test('pieces of a call are joined, and other choices left out', function()
  local answer = answers.new()
  answer:add({ type = 'tool_call', index = 0, id = 'c', name = 'f', arguments_delta = '{"a"' })
  answer:add({ type = 'tool_call', index = 1, id = 'd', name = 'g' })
  answer:add({ type = 'tool_call', index = 0, arguments_delta = ':1}' })
  answer:add({ type = 'text', text = 'no', choice = 1 })
  T.equal(answer:calls(), { { name = 'f', arguments = '{"a":1}' }, { name = 'g', arguments = '' } })
  T.equal(answer:said('text'), '')
end)

T.test('an option that does not exist is told with the nearest one', function()
  local good, problem = pcall(config.checked, { modle = 'x' })
  T.equal(good, false)
  T.equal(problem, 'rxlapce: there is no option "modle"; did you mean "model"?')
  T.equal(select(2, pcall(config.checked, { window = 'x' })), 'rxlapce: the option window must be a number, not a string')
  T.equal(pcall(config.checked, { open = 'float' }), false)
  T.equal(pcall(config.checked, { window = 0 }), false)
  T.equal(config.checked({ model = 'a/b' }).redraw_ms, 33)
end)

T.test('a key file is taken only as its owner\'s alone, and no problem tells a secret', function()
  local path = vim.fn.tempname()
  local secret = ('5ec4e7'):rep(11)
  vim.fn.writefile({ '# mine', 'me ' .. secret, 'you ' .. ('00'):rep(32) }, path)
  local uv = vim.uv or vim.loop
  uv.fs_chmod(path, tonumber('640', 8))
  local key, problem = signing.read(path)
  T.equal({ key, problem:find('chmod 600') ~= nil }, { nil, true })
  uv.fs_chmod(path, tonumber('600', 8))
  T.equal(signing.read(path).name, 'me')
  T.equal(signing.read(path, 'you').secret, ('\0'):rep(32))
  key, problem = signing.read(path, 'nobody')
  T.equal({ key, problem:find('5ec4') }, { nil, nil })
  T.equal(signing.read(path .. '.none'), nil)
  vim.fn.delete(path)
end)

T.finish()
