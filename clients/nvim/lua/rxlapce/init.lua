--- rxlapce for Neovim: answers of language models, streamed by the rxlapce daemon.
local client = require('rxlapce.client')
local config = require('rxlapce.config')

local M = {}

local options, connection

--- Set options; see `:help rxlapce-options`. Raises for one that does not exist.
---@param given table|nil
function M.setup(given)
  local checked = config.checked(given)
  if connection then
    connection:shutdown()
  end
  options, connection = checked, nil
end

---@return table
function M.options()
  options = options or config.checked()
  return options
end

--- The one connection of this Neovim; made at first use.
---@return rxlapce.Client
function M.client()
  if not connection then
    connection = client.new(M.options())
  end
  return connection
end

--- How the connection stands, for a statusline: connecting, connected, disconnected or error.
---@return string
function M.status()
  return connection and connection.state or 'disconnected'
end

---@class rxlapce.AskOptions
---@field model string|nil
---@field system string|nil
---@field messages table[]|nil the turns before the prompt

---@class rxlapce.Callbacks
---@field on_text fun(piece: string)|nil
---@field on_done fun(answer: rxlapce.Answer)|nil
---@field on_error fun(error: table)|nil

--- Ask once. Returns a function that cancels.
---@param prompt string
---@param asked rxlapce.AskOptions|nil
---@param callbacks rxlapce.Callbacks
---@return fun()
function M.ask(prompt, asked, callbacks)
  asked = asked or {}
  local turns = vim.deepcopy(asked.messages or {})
  local system = asked.system or M.options().system
  if system then
    table.insert(turns, 1, { role = 'system', content = system })
  end
  turns[#turns + 1] = { role = 'user', content = prompt }
  local answer = require('rxlapce.answer').new()
  return M.client():chat_stream({ model = asked.model or M.options().model or '', messages = turns }, {
    on_token = function(token)
      answer:add(token)
      if callbacks.on_text and token.type == 'text' then
        callbacks.on_text(token.text)
      end
    end,
    on_done = function(message)
      answer.finish = message.finish
      if callbacks.on_done then
        callbacks.on_done(answer)
      end
    end,
    on_error = callbacks.on_error or function(error)
      vim.notify('rxlapce: ' .. error.message, vim.log.levels.ERROR)
    end,
  })
end

--- Let the user pick a model from those that the daemon knows.
---@param done fun(model: string|nil)
function M.pick_model(done)
  M.client():models(function(list, failure)
    if failure then
      vim.notify('rxlapce: ' .. failure.message, vim.log.levels.ERROR)
      return done(nil)
    end
    for _, one in ipairs(list.unlisted or {}) do
      vim.notify(('rxlapce: %s did not tell its models: %s'):format(one.provider, one.message), vim.log.levels.WARN)
    end
    local names = vim.tbl_map(function(one)
      return one.name
    end, list.models or {})
    if #names == 0 then
      vim.notify('rxlapce: the daemon knows no model; see: rxlapce providers', vim.log.levels.WARN)
      return done(nil)
    end
    vim.ui.select(names, { prompt = 'Model' }, done)
  end)
end

return M
