--- Just enough to test with: `test(name, body)` prints a line for each, and `finish` ends Neovim with the result.
local M = { failed = 0, passed = 0 }

function M.test(name, body)
  local good, problem = xpcall(body, debug.traceback)
  if good then
    M.passed = M.passed + 1
  else
    M.failed = M.failed + 1
    io.stdout:write(('FAIL %s\n%s\n'):format(name, tostring(problem)))
  end
end

function M.equal(got, expected, what)
  if not vim.deep_equal(got, expected) then
    error(('%s: expected %s, got %s'):format(what or 'value', vim.inspect(expected), vim.inspect(got)), 2)
  end
end

--- Let Neovim's loop run until `predicate` holds; fail after five seconds.
function M.wait(predicate, what)
  if not vim.wait(5000, predicate, 5) then
    error('waited for ' .. (what or 'something') .. ' in vain', 2)
  end
end

function M.read(path)
  local file = assert(io.open(path, 'rb'))
  local data = file:read('*a')
  file:close()
  return data
end

function M.finish()
  io.stdout:write(('%d passed, %d failed\n'):format(M.passed, M.failed))
  vim.cmd(M.failed == 0 and M.passed > 0 and 'qall!' or 'cquit 1')
end

return M
