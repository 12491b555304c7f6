--- What a person does in Neovim, against a daemon that the caller has started at `$RXLAPCE_SOCKET`. `$SCENARIO` says
--- what. Tells what it sees in lines of JSON on standard output; the caller compares.
local here = debug.getinfo(1, 'S').source:sub(2):match('(.*/)')
package.path = here .. '?.lua;' .. package.path
local T = require('harness')
local chats = require('rxlapce.chat')
local rxlapce = require('rxlapce')
vim.cmd('runtime plugin/rxlapce.lua')

local function say(values)
  io.stdout:write(vim.json.encode(values), '\n')
  io.stdout:flush()
end

local function lines(chat)
  return vim.api.nvim_buf_get_lines(chat.buffer, 0, -1, false)
end

local function text(chat)
  return table.concat(lines(chat), '\n')
end

--- Write below the last `## You`, and press the key.
local function ask(chat, prompt)
  vim.api.nvim_buf_set_lines(chat.buffer, -2, -1, false, vim.split(prompt, '\n'))
  chat:submit()
end

local function chat_with(model)
  vim.cmd('RxlapceChat ' .. vim.fn.fnameescape(model))
  return chats.of()
end

local function until_over(chat)
  T.wait(function()
    return chat.ended and not chat.cancel_request
  end, 'the end of the answer')
end

local function until_said(chat)
  T.wait(function()
    return chat.shown and #chat.shown > 0
  end, 'the first word')
end

local function notes(chat)
  local found = {}
  local namespace = vim.api.nvim_get_namespaces().rxlapce
  for _, mark in ipairs(vim.api.nvim_buf_get_extmarks(chat.buffer, namespace, 0, -1, { details = true })) do
    if mark[4].virt_text then
      found[#found + 1] = mark[4].virt_text[1][1]
    end
  end
  return found
end

local MODEL = vim.env.MODEL or 'local/sim'
local scenarios = {}

function scenarios.chat()
  local chat = chat_with(MODEL)
  ask(chat, 'What is a marble diagram?')
  until_over(chat)
  local first = chat.answer:said('text')
  assert(text(chat):find(first, 1, true), 'the buffer does not have the answer')
  say({ answer = first, notes = notes(chat), state = rxlapce.status() })
  ask(chat, 'And now shorter.')
  until_over(chat)
  assert(text(chat):find(chat.answer:said('text'), 1, true))
  say({ answer = chat.answer:said('text'), turns = chat:turns(), cursor = vim.api.nvim_win_get_cursor(0)[1] == #lines(chat) })
end

function scenarios.scrolled_away()
  local chat = chat_with(MODEL)
  ask(chat, 'Tell me much.')
  vim.api.nvim_win_set_cursor(0, { 1, 0 })
  until_over(chat)
  say({ cursor = vim.api.nvim_win_get_cursor(0)[1] })
end

function scenarios.thoughts()
  local chat = chat_with(MODEL)
  ask(chat, 'Think.')
  until_over(chat)
  local quoted = vim.tbl_filter(function(line)
    return line:find('^> ')
  end, lines(chat))
  say({
    quoted = #quoted,
    thoughts = chat.answer:said('reasoning'),
    answer = chat.answer:said('text'),
    turns = chat:turns(),
    folded = vim.fn.foldclosed(vim.fn.search('^> ', 'nw')) > 0,
  })
end

function scenarios.cancel()
  local chat = chat_with(MODEL)
  ask(chat, 'Go on for ever.')
  until_said(chat)
  vim.cmd('RxlapceCancel')
  until_over(chat)
  say({ shown = chat.shown, notes = notes(chat), last = lines(chat)[#lines(chat) - 2] })
end

function scenarios.fails()
  local chat = chat_with(MODEL)
  ask(chat, 'Fail.')
  until_over(chat)
  local told = vim.tbl_filter(function(line)
    return line:find('^%*%*Error:%*%* ')
  end, lines(chat))
  say({ told = told, turns = chat:turns() })
end

function scenarios.models()
  local offered
  vim.ui.select = function(items, _, done)
    offered = items
    done(items[1])
  end
  vim.cmd('RxlapceChat')
  local chat = chats.of()
  ask(chat, 'Whom do I ask?')
  until_over(chat)
  say({ offered = offered, model = chat.model, answer = chat.answer:said('text') })
  say({ completed = vim.fn.getcompletion('RxlapceModel ' .. offered[1]:sub(1, 5), 'cmdline') })
end

function scenarios.deleted()
  local chat = chat_with(MODEL)
  ask(chat, 'Go on for ever.')
  until_said(chat)
  vim.cmd('bwipeout! ' .. chat.buffer)
  say({ gone = true })
  T.wait(function()
    return next(rxlapce.client().running) == nil
  end, 'the request to end')
  say({ running = vim.tbl_count(rxlapce.client().running) })
end

function scenarios.two()
  local left, right = chat_with(MODEL), chat_with(MODEL)
  ask(left, 'left')
  ask(right, 'right')
  until_over(left)
  until_over(right)
  say({ left = left.answer:said('text'), right = right.answer:said('text') })
end

function scenarios.killed()
  local chat = chat_with(MODEL)
  local states = {}
  rxlapce.client():on_state(function(state)
    states[#states + 1] = state
  end)
  ask(chat, 'Go on for ever.')
  until_said(chat)
  say({ shown = #chat.shown })
  until_over(chat)
  say({ state = rxlapce.status(), told = text(chat):match('%*%*Error:%*%* [^\n]*') })
  if not vim.wait(15000, function()
    return rxlapce.status() == 'connected'
  end, 5) then
    error('no new connection')
  end
  say({ at = os.time(), states = states })
  chat.model = vim.env.NEXT_MODEL
  ask(chat, 'Are you back?')
  until_over(chat)
  say({ answer = chat.answer:said('text') })
end

function scenarios.status()
  local said
  vim.notify = function(message)
    said = message
  end
  vim.cmd('RxlapceStatus')
  T.wait(function()
    return said
  end, 'the status')
  say({ said = said })
  vim.cmd('checkhealth rxlapce')
  say({ health = table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n') })
end

function scenarios.api()
  local pieces, answer = {}, nil
  rxlapce.ask('By the API.', { model = MODEL }, {
    on_text = function(piece)
      pieces[#pieces + 1] = piece
    end,
    on_done = function(whole)
      answer = whole
    end,
  })
  T.wait(function()
    return answer
  end, 'the answer')
  say({ pieces = table.concat(pieces), answer = answer:said('text'), finish = answer.finish.kind })
end

T.test(vim.env.SCENARIO, scenarios[vim.env.SCENARIO])
rxlapce.client():shutdown()
T.finish()
