-- Bring one change into the hash and tell the workers. 1 when the hash took all of it, else 0.
-- KEYS[1]: the hash. ARGV: channel, notice, since, revision, '1' if this is the change's last part else '0', count of
-- gone digests, these, then digest and record in turn.
--
-- Removals always count. Records count only while no later state is here and none before `since` is missing: a writer
-- that was held up must not bring back what another has removed meanwhile.
local mark = redis.call('HGET', KEYS[1], 'mark')
if not mark then
  redis.call('PUBLISH', ARGV[1], '- 0 0\n' .. ARGV[2])
  return 0
end
local epoch, held = string.match(mark, '^(%S+) (%d+)')
held = tonumber(held)
local since, revision, gone = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[6])
local fits = since <= held and held <= revision
for i = 7, 6 + gone do redis.call('HDEL', KEYS[1], ARGV[i]) end
local now = held
if fits then
  if ARGV[5] == '1' then now = revision end
  for i = 7 + gone, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
end
redis.call('HSET', KEYS[1], 'mark', string.format('%s %d %d', epoch, now, redis.call('HLEN', KEYS[1]) - 1))
redis.call('PUBLISH', ARGV[1], string.format('%s %d %d\n', epoch, held, now) .. ARGV[2])
return fits and 1 or 0
