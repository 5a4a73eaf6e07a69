-- Start a quota's counter from what the ledger says, unless somebody has already.
--
-- KEYS    the counter, the set of workers
-- ARGV    what the ledger says is used, the time in ms when the counter may go (0: never), the prefix of the hashes of open calls
-- Calls under way are not in the ledger yet: what they reserved is added from their records.
local call = redis.call
if call('EXISTS', KEYS[1]) == 1 then return 0 end
local held = 0
for _, worker in ipairs(call('ZRANGE', KEYS[2], 0, -1)) do
  for _, record in ipairs(call('HVALS', ARGV[3] .. worker)) do
    for _, hold in ipairs(cmsgpack.unpack(record)[1]) do
      if hold[1] == KEYS[1] then held = held + hold[2] end
    end
  end
end
call('HSET', KEYS[1], 'u', string.format('%.0f', tonumber(ARGV[1]) + held), 'r', string.format('%.0f', held))
if tonumber(ARGV[2]) > 0 then call('PEXPIREAT', KEYS[1], ARGV[2]) end
return 1
