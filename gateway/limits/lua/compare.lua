-- Forget counters of quotas that say less than the ledger, or said more: the next call starts them from there (seed.lua).
--
-- KEYS    the counters, all in one slot on a cluster
-- ARGV    nothing: the reply is what each says was used, what is only reserved left out; an empty string where there is none
--         else of each what the ledger says is used, and then of each what it said itself before, or an empty string;
--         the reply is how many are forgotten
local call = redis.call
local found, forgotten = {}, 0
for n = 1, #KEYS do
  local both = call('HMGET', KEYS[n], 'u', 'r')
  found[n] = both[1] and string.format('%.0f', tonumber(both[1]) - tonumber(both[2] or 0)) or ''
  if #ARGV > 0 and both[1] then
    local used, before = tonumber(ARGV[n]), tonumber(ARGV[#KEYS + n])
    if tonumber(found[n]) < used or (before and before > used) then forgotten = forgotten + call('DEL', KEYS[n]) end
  end
end
return #ARGV > 0 and forgotten or found
