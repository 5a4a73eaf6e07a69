-- Put a hash that was filled aside in the place of the one in use. 1, or 0 when a later state is there already.
-- KEYS: the hash, the one aside. ARGV: channel, notice, epoch, revision, force ('1' or '0').
local mark = redis.call('HGET', KEYS[1], 'mark')
local held = mark and tonumber(string.match(mark, '^%S+ (%d+)')) or 0
if ARGV[5] ~= '1' and held > tonumber(ARGV[4]) then
  redis.call('DEL', KEYS[2])
  return 0
end
redis.call('HSET', KEYS[2], 'mark', string.format('%s %s %d', ARGV[3], ARGV[4], redis.call('HLEN', KEYS[2])))
redis.call('PERSIST', KEYS[2])
redis.call('RENAME', KEYS[2], KEYS[1])
redis.call('PUBLISH', ARGV[1], string.format('%s %d %s\n', ARGV[3], held, ARGV[4]) .. ARGV[2])
return 1
