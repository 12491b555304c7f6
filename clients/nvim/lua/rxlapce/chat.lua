--- A conversation in a buffer: what stands behind the last `## You` is asked, and the answer streams in below.
local answers = require('rxlapce.answer')
local rxlapce = require('rxlapce')

local uv = vim.uv or vim.loop

local M = {}

local YOU = '## You'
local NAMESPACE = vim.api.nvim_create_namespace('rxlapce')
local ADVICE = {
  auth = 'check the key of this provider (`rxlapce providers`)',
  billing = 'the account cannot pay: see the provider',
  quota = "the account's allowance is used up: take another model (`:RxlapceModel`)",
  rate_limit = 'wait a moment and ask again',
  overloaded = 'ask again, or take another model (`:RxlapceModel`)',
  context_length = 'shorten the conversation, or take a model with a longer context',
  content_filter = 'say it in other words',
  bad_request = 'see what was asked, and the name of the model (`:RxlapceModel`)',
  network = 'ask again when the daemon is there (`rxlapce status`)',
  timeout = 'ask again, or take another model (`:RxlapceModel`)',
  truncated = 'ask again: what has come is not the whole answer',
}

---@class rxlapce.Chat
local Chat = {}
Chat.__index = Chat

local chats = {} ---@type table<integer, rxlapce.Chat>

--- The chat of a buffer; nil if it is none.
---@param buffer integer|nil
---@return rxlapce.Chat|nil
function M.of(buffer)
  return chats[buffer or vim.api.nvim_get_current_buf()]
end

--- Open a chat in a new window.
---@param model string|nil
---@return rxlapce.Chat
function M.open(model)
  local options = rxlapce.options()
  vim.cmd(options.open == 'edit' and 'enew' or options.open == 'tabnew' and 'tabnew' or options.open .. ' | enew')
  local buffer = vim.api.nvim_get_current_buf()
  vim.bo[buffer].buftype = 'nofile'
  vim.bo[buffer].bufhidden = 'hide'
  vim.bo[buffer].swapfile = false
  vim.bo[buffer].filetype = 'markdown'
  pcall(vim.api.nvim_buf_set_name, buffer, ('rxlapce://chat/%d'):format(buffer))
  local window = vim.api.nvim_get_current_win()
  vim.wo[window].wrap = true
  vim.wo[window].linebreak = true
  vim.wo[window].foldmethod = 'expr'
  vim.wo[window].foldexpr = "getline(v:lnum) =~# '^> ' ? 1 : 0"
  vim.wo[window].foldlevel = 0
  local chat = setmetatable({ buffer = buffer, model = model or options.model }, Chat)
  chats[buffer] = chat
  vim.api.nvim_buf_set_lines(buffer, 0, -1, false, { YOU, '', '' })
  vim.api.nvim_win_set_cursor(window, { 3, 0 })
  for action, key in pairs(options.keys or {}) do
    if key then
      vim.keymap.set('n', key, function()
        chat[action](chat)
      end, { buffer = buffer, desc = 'rxlapce: ' .. action })
    end
  end
  vim.api.nvim_create_autocmd({ 'BufDelete', 'BufWipeout' }, {
    buffer = buffer,
    callback = function()
      chat:cancel()
      chats[buffer] = nil
    end,
  })
  return chat
end

-- The conversation --------------------------------------------------------------------------------------------------

--- The turns that stand in the buffer: headings `## You` and `## MODEL`; thoughts and errors are not sent.
function Chat:turns()
  local turns, fenced = {}, false
  for _, line in ipairs(vim.api.nvim_buf_get_lines(self.buffer, 0, -1, false)) do
    if line:find('^```') then
      fenced = not fenced
    end
    local heading = not fenced and line:match('^## (.+)$')
    if heading and (heading == 'You' or self.headings and self.headings[heading]) then
      turns[#turns + 1] = { role = heading == 'You' and 'user' or 'assistant', lines = {} }
    elseif #turns > 0 and (fenced or not (line:find('^> ') or line:find('^%*%*Error:%*%*'))) then
      table.insert(turns[#turns].lines, line)
    end
  end
  local said = {}
  for _, turn in ipairs(turns) do
    local content = vim.trim(table.concat(turn.lines, '\n'))
    if content ~= '' then
      said[#said + 1] = { role = turn.role, content = content }
    end
  end
  return said
end

--- Ask what stands behind the last heading.
function Chat:submit()
  if self.cancel_request then
    return vim.notify('rxlapce: an answer is under way; cancel it first', vim.log.levels.WARN)
  end
  local turns = self:turns()
  if #turns == 0 or turns[#turns].role ~= 'user' then
    return vim.notify('rxlapce: there is nothing to ask below ## You', vim.log.levels.WARN)
  end
  if not self.model then
    return rxlapce.pick_model(function(model)
      if model then
        self.model = model
        self:submit()
      end
    end)
  end
  local system = rxlapce.options().system
  if system then
    table.insert(turns, 1, { role = 'system', content = system })
  end
  self:begin()
  self.cancel_request = rxlapce.client():chat_stream({ model = self.model, messages = turns }, {
    on_token = function(token)
      self:take(token)
    end,
    on_done = function(message)
      self:finish(message.finish)
    end,
    on_error = function(error)
      self:fail(error)
    end,
  })
  if self.ended then
    self.cancel_request = nil -- it failed before this line
  end
end

--- End the answer that is under way.
function Chat:cancel()
  if self.cancel_request then
    self.cancel_request()
  end
end

function Chat:begin()
  self.answer, self.shown, self.ended = answers.new(), '', false
  self.began, self.first, self.dirty = uv.hrtime(), nil, false
  self.headings = self.headings or {}
  self.headings[self.model] = true
  local follows = self:follows()
  vim.api.nvim_buf_set_lines(self.buffer, -1, -1, false, { '', '## ' .. self.model, '', '' })
  local last = vim.api.nvim_buf_line_count(self.buffer) - 1
  self.start = vim.api.nvim_buf_set_extmark(self.buffer, NAMESPACE, last, 0, { right_gravity = false })
  self:follow(follows)
end

-- Drawing -----------------------------------------------------------------------------------------------------------

function Chat:take(token)
  if not self.first and (token.type == 'text' or token.type == 'reasoning' or token.type == 'refusal') then
    self.first = uv.hrtime()
  end
  self.answer:add(token)
  if not self.dirty then
    self.dirty = true
    vim.defer_fn(function()
      self:draw()
    end, rxlapce.options().redraw_ms)
  end
end

--- The answer as it is written into the buffer: thoughts quoted, then what was said, then calls.
function Chat:rendered()
  local parts = {}
  local thoughts = self.answer:said('reasoning')
  if thoughts ~= '' then
    parts[#parts + 1] = '> ' .. thoughts:gsub('\n', '\n> ') .. '\n\n'
  end
  parts[#parts + 1] = self.answer:said('text') .. self.answer:said('refusal')
  for _, call in ipairs(self.answer:calls()) do
    parts[#parts + 1] = ('\n```json\n// %s\n%s\n```\n'):format(call.name, call.arguments)
  end
  return table.concat(parts)
end

function Chat:draw()
  self.dirty = false
  if not vim.api.nvim_buf_is_valid(self.buffer) or not self.answer then
    return
  end
  local text = self:rendered()
  if text == self.shown then
    return
  end
  local follows = self:follows()
  if vim.startswith(text, self.shown) then
    local more = vim.split(text:sub(#self.shown + 1), '\n', { plain = true })
    local row, column = self:stop()
    vim.api.nvim_buf_set_text(self.buffer, row, column, row, column, more)
  else -- a seam took back what was shown, or a thought came late
    local start = vim.api.nvim_buf_get_extmark_by_id(self.buffer, NAMESPACE, self.start, {})
    local row, column = self:stop()
    local lines = vim.split(text, '\n', { plain = true })
    vim.api.nvim_buf_set_text(self.buffer, start[1], start[2], row, column, lines)
  end
  self.shown = text
  self:follow(follows)
end

--- Where the buffer ends.
function Chat:stop()
  local row = vim.api.nvim_buf_line_count(self.buffer) - 1
  return row, #vim.api.nvim_buf_get_lines(self.buffer, row, row + 1, false)[1]
end

--- The windows whose cursor stands at the end: they go on with it, and a reader who has scrolled away is left alone.
function Chat:follows()
  local last = vim.api.nvim_buf_line_count(self.buffer)
  return vim.tbl_filter(function(window)
    return vim.api.nvim_win_get_cursor(window)[1] >= last
  end, vim.fn.win_findbuf(self.buffer))
end

function Chat:follow(windows)
  for _, window in ipairs(windows) do
    vim.api.nvim_win_set_cursor(window, { vim.api.nvim_buf_line_count(self.buffer), 0 })
  end
end

-- The end -----------------------------------------------------------------------------------------------------------

local function seconds(from, to)
  return (to - from) / 1e9
end

--- Usage and speed, as far as they are known.
function Chat:summary(finish)
  local now, usage = uv.hrtime(), self.answer.usage or {}
  local parts = {}
  if type(usage.output) == 'number' then
    parts[#parts + 1] = ('%d tokens'):format(usage.output)
    local took = seconds(self.first or self.began, now)
    if took > 0 then
      parts[#parts + 1] = ('%.0f/s'):format(usage.output / took)
    end
  end
  parts[#parts + 1] = ('%.1f s'):format(seconds(self.began, now))
  if type(usage.cost_usd) == 'number' then
    parts[#parts + 1] = ('$%.4f'):format(usage.cost_usd)
  end
  if finish and finish.kind ~= 'stop' then
    parts[#parts + 1] = finish.kind
  end
  return table.concat(parts, ', ')
end

function Chat:close(note, extra)
  self:draw()
  self.cancel_request, self.ended = nil, true
  if not vim.api.nvim_buf_is_valid(self.buffer) then
    return
  end
  local row = self:stop()
  vim.api.nvim_buf_set_extmark(self.buffer, NAMESPACE, row, 0, { virt_text = { { note, 'Comment' } }, virt_text_pos = 'eol' })
  local follows = self:follows()
  local lines = extra and { '', extra } or {}
  vim.list_extend(lines, { '', YOU, '', '' })
  vim.api.nvim_buf_set_lines(self.buffer, -1, -1, false, lines)
  self:follow(follows)
end

function Chat:finish(finish)
  self:close(self:summary(finish))
end

function Chat:fail(error)
  if error.kind == 'cancelled' then
    return self:close('cancelled after ' .. self:summary())
  end
  local advice = ADVICE[error.kind]
  local text = ('**Error:** %s (%s)%s'):format(
    (error.message:gsub('%s+', ' ')),
    error.kind,
    advice and '; ' .. advice or ''
  )
  self:close('broke off after ' .. self:summary(), text)
end

return M
