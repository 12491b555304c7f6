-- The commands; nothing else is loaded before one is used.
if vim.g.loaded_rxlapce then
  return
end
vim.g.loaded_rxlapce = true

if vim.fn.has('nvim-0.7') == 0 then
  vim.notify('rxlapce needs Neovim 0.7 or newer', vim.log.levels.ERROR)
  return
end

--- Names of models that begin so, of those that were listed last.
local known = {}
local function complete(lead)
  require('rxlapce').client():models(function(list)
    known = vim.tbl_map(function(one)
      return one.name
    end, list and list.models or {})
  end)
  vim.wait(300, function()
    return #known > 0
  end, 10)
  return vim.tbl_filter(function(name)
    return vim.startswith(name, lead)
  end, known)
end

local function current()
  local chat = require('rxlapce.chat').of()
  if not chat then
    vim.notify('rxlapce: this buffer is no chat; open one with :RxlapceChat', vim.log.levels.WARN)
  end
  return chat
end

vim.api.nvim_create_user_command('RxlapceChat', function(given)
  require('rxlapce.chat').open(given.args ~= '' and given.args or nil)
end, { nargs = '?', complete = complete, desc = 'Open a chat' })

vim.api.nvim_create_user_command('RxlapceSend', function()
  local chat = current()
  if chat then
    chat:submit()
  end
end, { desc = 'Ask what stands below the last ## You' })

vim.api.nvim_create_user_command('RxlapceCancel', function()
  local chat = current()
  if chat then
    chat:cancel()
  end
end, { desc = 'End the answer that is under way' })

vim.api.nvim_create_user_command('RxlapceModel', function(given)
  local chat = current()
  if chat and given.args ~= '' then
    chat.model = given.args
  elseif chat then
    require('rxlapce').pick_model(function(model)
      chat.model = model or chat.model
    end)
  end
end, { nargs = '?', complete = complete, desc = 'Choose the model of this chat' })

vim.api.nvim_create_user_command('RxlapceStatus', function()
  require('rxlapce').client():status(function(report, failure)
    if failure then
      return vim.notify('rxlapce: ' .. failure.message, vim.log.levels.ERROR)
    end
    vim.notify(
      ('rxlapce %s: %d requests under way, %.0f tokens/s, %d clients'):format(
        report.version,
        report.requests or 0,
        report.tokens_per_s or 0,
        report.connections or 0
      )
    )
  end)
end, { desc = 'Say how the daemon is' })
