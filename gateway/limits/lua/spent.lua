-- What each quota has used, what is reserved included, and what of that is only reserved. Nothing is written.
--
-- KEYS    the counters, all in one slot on a cluster
-- -> for each {used, reserved}, both nil where the counter is not there
local found = {}
for n = 1, #KEYS do found[n] = redis.call('HMGET', KEYS[n], 'u', 'r') end
return found
