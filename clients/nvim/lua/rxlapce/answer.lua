--- What a reader has of an answer, token by token; seams are obeyed (docs/protocol.md, section "Seams").
local M = {}

---@class rxlapce.Answer
local Answer = {}
Answer.__index = Answer

local KEPT = { text = true, reasoning = true, refusal = true, tool_call = true, opaque = true }

---@return rxlapce.Answer
function M.new()
  return setmetatable({ tokens = {}, usage = nil, finish = nil }, Answer)
end

--- What is kept of `tokens` at a seam.
local function kept(tokens, reason)
  local word = reason:match('^[^:]*')
  if word == 'restart' then
    return {}
  elseif word == 'rewind' then
    for place, token in ipairs(tokens) do
      if token.type == 'tool_call' then
        return vim.list_slice(tokens, 1, place - 1)
      end
    end
  end
  return tokens
end

--- Take a token; returns true if something that was shown is gone.
---@param token table
---@return boolean
function Answer:add(token)
  if token.type == 'seam' then
    local before = #self.tokens
    self.tokens = kept(self.tokens, token.reason)
    return #self.tokens < before
  elseif token.type == 'usage' then
    self.usage = token.usage
  elseif KEPT[token.type] then
    self.tokens[#self.tokens + 1] = token
  end
  return false
end

--- All that was said of one kind, of the first choice.
---@param kind string
---@return string
function Answer:said(kind)
  local parts = {}
  for _, token in ipairs(self.tokens) do
    if token.type == kind and (token.choice or 0) == 0 then
      parts[#parts + 1] = token.text
    end
  end
  return table.concat(parts)
end

--- The tool calls of the first choice: `{ name, arguments }` each, in order.
---@return { name: string, arguments: string }[]
function Answer:calls()
  local calls, places = {}, {}
  for _, token in ipairs(self.tokens) do
    if token.type == 'tool_call' and (token.choice or 0) == 0 then
      local place = places[token.index]
      if not place then
        place = #calls + 1
        places[token.index] = place
        calls[place] = { name = '', arguments = '' }
      end
      local call = calls[place]
      if type(token.name) == 'string' then
        call.name = token.name
      end
      call.arguments = call.arguments .. (token.arguments_delta or '')
    end
  end
  return calls
end

return M
