--- What may be the first frame of a connection: a daemon that says each of the vectors, and what the client makes of it.
local here = debug.getinfo(1, 'S').source:sub(2):match('(.*/)')
package.path = here .. '?.lua;' .. package.path
local T = require('harness')
local client = require('rxlapce.client')
local config = require('rxlapce.config')

local uv = vim.uv or vim.loop
local root = here .. '../../../protocol/vectors/'

--- A client at a daemon that answers any handshake with `data`.
local function met(data)
  local path = vim.fn.tempname()
  local server = uv.new_pipe(false)
  assert(server:bind(path))
  server:listen(1, function()
    local peer = uv.new_pipe(false)
    server:accept(peer)
    peer:read_start(function(_, heard)
      if heard then
        peer:write(data)
      else
        peer:close()
      end
    end)
  end)
  local made = client.new(config.checked({ socket = path }))
  local problem
  made:ensure(function(why)
    problem = why or ''
  end)
  T.wait(function()
    return problem
  end, 'the end of the handshake')
  made:shutdown()
  server:close()
  return made, problem
end

for _, path in ipairs(vim.fn.glob(root .. 'invalid/to-client-handshake-*.bin', true, true)) do
  T.test(vim.fn.fnamemodify(path, ':t:r'), function()
    local made, problem = met(T.read(path))
    T.equal(made.state, 'error')
    assert(#problem > 10, 'no reason')
  end)
end

T.test('a good acknowledgement is agreed with', function()
  local _, problem = met(T.read(root .. 'valid/to-client-handshake-ack-lean.bin'))
  T.equal(problem, '')
end)

T.test('a daemon that is not there is told with what to do', function()
  local made = client.new(config.checked({ socket = vim.fn.tempname() }))
  local problem
  made:ensure(function(why)
    problem = why
  end)
  assert(problem:find('start it with: rxlapce serve', 1, true))
  T.equal(made.state, 'disconnected')
end)

T.finish()
