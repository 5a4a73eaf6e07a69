-- Start a quota's counter from what the ledger says, unless somebody has already. In two steps, for in between the ledger is asked:
-- a call that is settled in that time takes the token away, for whether the ledger's answer includes it nobody can tell.
--
-- KEYS    the counter, the set of workers
-- ARGV    a token; to begin nothing else, and the reply is the token to go on with, or an empty string: it is there already;
--         to end: what the ledger says is used, the time in ms when the counter may go (0: never), the prefix of the hashes of
--         open calls; the reply is 1 or, when the ledger must be asked again, 0
-- Calls under way are not in the ledger yet: what they reserved is added from their records.
local call = redis.call
local there = call('HEXISTS', KEYS[1], 'u') == 1
if #ARGV == 1 then
  if there then return '' end
  call('HSETNX', KEYS[1], 's', ARGV[1])
  call('PEXPIRE', KEYS[1], 60000)
  return call('HGET', KEYS[1], 's')
end
if there then return 1 end
if call('HGET', KEYS[1], 's') ~= ARGV[1] then return 0 end
local held = 0
for _, worker in ipairs(call('ZRANGE', KEYS[2], 0, -1)) do
  for _, record in ipairs(call('HVALS', ARGV[4] .. worker)) do
    for _, hold in ipairs(cmsgpack.unpack(record)[1]) do
      if hold[1] == KEYS[1] then held = held + hold[2] end
    end
  end
end
call('HSET', KEYS[1], 'u', string.format('%.0f', tonumber(ARGV[2]) + held), 'r', string.format('%.0f', held))
call('HDEL', KEYS[1], 's')
if tonumber(ARGV[3]) > 0 then call('PEXPIREAT', KEYS[1], ARGV[3]) else call('PERSIST', KEYS[1]) end
return 1
