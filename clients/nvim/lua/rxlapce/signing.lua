--- Secrets and the keys of a signed connection (docs/protocol.md, section "Signing").
local frame = require('rxlapce.frame')
local sha256 = require('rxlapce.sha256')

local M = {}

local NONCE_BYTES = 32
local MIN_SECRET_BYTES = 32

--- The keys of one connection, by HKDF-SHA-256 (RFC 5869).
---@param secret string
---@param client_nonce string 32 bytes
---@param daemon_nonce string 32 bytes
---@param handshake string the payload of the client's handshake frame
---@return { client: string, daemon: string, ring: string }
function M.keys(secret, client_nonce, daemon_nonce, handshake)
  local extracted = sha256.hmac(client_nonce .. daemon_nonce, secret)
  local said = sha256.digest(handshake)
  local function key(label)
    return sha256.hmac(extracted, 'rxlapce-1 ' .. label .. '\0' .. said .. '\1')
  end
  return { client = key('client'), daemon = key('daemon'), ring = key('ring') }
end

--- The first key of a key file, or the one called `name`.
---@param path string
---@param name string|nil
---@return { name: string, secret: string }|nil
---@return string|nil problem never holds a secret
function M.read(path, name)
  local uv = vim.uv or vim.loop
  local found = uv.fs_stat(path)
  if not found then
    return nil, ('there is no key file %s; make one with: rxlapce keygen NAME --file %s'):format(path, path)
  elseif found.type ~= 'file' then
    return nil, ('the key file %s is no regular file'):format(path)
  elseif found.uid ~= uv.getuid() then
    return nil, ('the key file %s belongs to another user'):format(path)
  elseif found.mode % 64 ~= 0 then
    return nil, ('the key file %s is open to other users: chmod 600 %s'):format(path, path)
  end
  for line in io.lines(path) do
    local who, digits = line:gsub('#.*', ''):match('^%s*(%S+)%s+(%S+)%s*$')
    if who and (not name or who == name) then
      local secret = sha256.unhex(digits)
      if not secret or #secret < MIN_SECRET_BYTES then
        return nil, ('%s: the secret of %s is not 64 hexadecimal digits or more'):format(path, who)
      end
      return { name = who, secret = secret }
    end
  end
  return nil, ('the key file %s has no key%s'):format(path, name and ' called ' .. name or '')
end

--- 32 bytes of the system's random source.
---@return string
function M.nonce()
  local uv = vim.uv or vim.loop
  return assert(uv.random(NONCE_BYTES))
end

--- How a connection goes on whose acknowledgement has come.
---@param secret string
---@param nonce string this side's
---@param handshake string the payload that was sent
---@param ack table the acknowledgement's members
---@param known table<integer, any>
---@return rxlapce.Signer|nil
---@return rxlapce.Decoder|nil to be fed from the first byte of the connection on
function M.ways(secret, nonce, handshake, ack, known)
  local theirs = type(ack.nonce) == 'string' and #ack.nonce == 2 * NONCE_BYTES and sha256.unhex(ack.nonce)
  if not theirs then
    return nil, nil
  end
  local keys = M.keys(secret, nonce, theirs, handshake)
  return frame.signer(keys.client), frame.decoder({ known = known, key = keys.daemon })
end

return M
