--- The options of `setup`, checked.
local M = {}

M.DEFAULTS = {
  --- The daemon's socket; nil: `$RXLAPCE_SOCKET`, else the user's own.
  socket = nil,
  --- Asked when nothing else is said; nil: chosen at the first chat.
  model = nil,
  --- A file of secrets (`rxlapce keygen`): all is signed, or the daemon is not spoken to. nil: `$RXLAPCE_KEY_FILE`.
  key_file = nil,
  --- Which of its keys; nil: the first.
  key = nil,
  --- A system message before each conversation.
  system = nil,
  --- How a chat opens: `vsplit`, `split`, `tabnew` or `edit`.
  open = 'vsplit',
  --- How often a stream is drawn at most, in milliseconds.
  redraw_ms = 33,
  --- Frames of a stream that may be under way: a slow Neovim holds up its own streams alone.
  window = 512,
  --- How long a client looks for a daemon that is gone, in milliseconds.
  reconnect_ms = 600000,
  --- In the chat's buffer; false: none.
  keys = { submit = '<CR>', cancel = '<C-c>' },
}

local TYPES = {
  socket = 'string',
  model = 'string',
  key_file = 'string',
  key = 'string',
  system = 'string',
  open = 'string',
  redraw_ms = 'number',
  window = 'number',
  reconnect_ms = 'number',
  keys = 'table',
}
local OPENS = { vsplit = true, split = true, tabnew = true, edit = true }

--- How many letters differ, so that a mistyped name finds its neighbour (Levenshtein).
local function distance(left, right)
  local row = {}
  for column = 0, #right do
    row[column] = column
  end
  for line = 1, #left do
    local diagonal = row[0]
    row[0] = line
    for column = 1, #right do
      local above = row[column]
      local differs = left:byte(line) == right:byte(column) and 0 or 1
      row[column] = math.min(above + 1, row[column - 1] + 1, diagonal + differs)
      diagonal = above
    end
  end
  return row[#right]
end

local function nearest(name)
  local best, least
  for known in pairs(TYPES) do
    local far = distance(name, known)
    if not least or far < least then
      best, least = known, far
    end
  end
  return best
end

--- The options with their defaults. Raises for what is none of them, or has another type.
---@param given table|nil
---@return table
function M.checked(given)
  given = given or {}
  for name, value in pairs(given) do
    local expected = TYPES[name]
    if not expected then
      error(('rxlapce: there is no option %q; did you mean %q?'):format(tostring(name), nearest(tostring(name))), 0)
    elseif type(value) ~= expected then
      error(('rxlapce: the option %s must be a %s, not a %s'):format(name, expected, type(value)), 0)
    end
  end
  local options = vim.tbl_deep_extend('force', M.DEFAULTS, given)
  if not OPENS[options.open] then
    error(('rxlapce: the option open must be vsplit, split, tabnew or edit, not %q'):format(options.open), 0)
  end
  for _, name in ipairs({ 'redraw_ms', 'window', 'reconnect_ms' }) do
    if options[name] < 1 then
      error(('rxlapce: the option %s must be at least 1, not %s'):format(name, options[name]), 0)
    end
  end
  return options
end

--- Where the daemon listens.
---@param options table
---@return string
function M.socket(options)
  local runtime = vim.env.XDG_RUNTIME_DIR
  return options.socket
    or vim.env.RXLAPCE_SOCKET
    or (runtime and runtime ~= '' and runtime .. '/rxlapce/daemon.sock')
    or ('/tmp/rxlapce-%d/daemon.sock'):format((vim.uv or vim.loop).getuid())
end

return M
