-- What is known of some digests, and whether the hash is whole: {mark or false, fields, records}.
-- KEYS[1]: the hash. ARGV: digests.
local records = {}
if #ARGV > 0 then records = redis.call('HMGET', KEYS[1], unpack(ARGV)) end
return {redis.call('HGET', KEYS[1], 'mark'), redis.call('HLEN', KEYS[1]), records}
