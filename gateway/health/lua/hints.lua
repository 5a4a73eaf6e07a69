-- Every deployment that is out: milliseconds that are left and the message, in turn. What is over is forgotten, unless
-- ARGV[1] is `look`.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local until_ms, message = string.match(all[i + 1], '^(%d+) (.*)$')
  local left = tonumber(until_ms or 0) - now
  if left > 0 then
    found[#found + 1] = string.format('%.0f', left)
    found[#found + 1] = message
  elseif ARGV[1] ~= 'look' then
    redis.call('HDEL', KEYS[1], all[i])
  end
end
return found
