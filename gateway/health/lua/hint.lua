-- What one worker found out of a deployment, for those that listen and for those that come later.
-- KEYS: the hash of deployments that are out. ARGV: channel, deployment, message (empty seconds: it is back), milliseconds.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local left = tonumber(ARGV[4])
if left > 0 then
  redis.call('HSET', KEYS[1], ARGV[2], string.format('%.0f', now + left) .. ' ' .. ARGV[3])
  if redis.call('PTTL', KEYS[1]) < left then
    redis.call('PEXPIRE', KEYS[1], left)
  end
else
  redis.call('HDEL', KEYS[1], ARGV[2])
end
redis.call('PUBLISH', ARGV[1], ARGV[3])
return 1
