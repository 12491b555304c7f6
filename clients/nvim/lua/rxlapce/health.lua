--- `:checkhealth rxlapce`
local M = {}

local health = vim.health or require('health')
local start = health.start or health.report_start
local ok = health.ok or health.report_ok
local warn = health.warn or health.report_warn
local bad = health.error or health.report_error

function M.check()
  start('rxlapce')
  if vim.fn.has('nvim-0.7') == 1 and jit then
    ok('Neovim ' .. tostring(vim.version().major) .. '.' .. tostring(vim.version().minor) .. ' with LuaJIT')
  else
    bad('Neovim 0.7 or newer with LuaJIT is needed')
  end
  local rxlapce = require('rxlapce')
  local options = rxlapce.options()
  local key_file = options.key_file or vim.env.RXLAPCE_KEY_FILE
  if key_file and key_file ~= '' then
    local key, problem = require('rxlapce.signing').read(vim.fn.expand(key_file), options.key)
    if key then
      ok('frames are signed by the key ' .. key.name)
    else
      bad(problem)
    end
  end
  local report, failure, is_over
  rxlapce.client():status(function(found, problem)
    report, failure, is_over = found, problem, true
  end)
  vim.wait(5000, function()
    return is_over
  end, 10)
  if report then
    ok(('the daemon %s answers at %s'):format(report.version, require('rxlapce.config').socket(options)))
    for _, provider in ipairs(report.providers or {}) do
      if provider.usable == false then
        warn(('%s is not well: %s'):format(provider.name, tostring(provider.reason)))
      end
    end
  else
    bad(failure and failure.message or 'the daemon did not answer', { 'start it with: rxlapce serve', 'see: rxlapce doctor' })
  end
end

return M
