-- Write a stream anew with the entries that it has: one that was removed stands in its node until the node goes.
--
-- KEYS  1 the stream
-- Reply how many entries it has
-- Cost  O(n) in its entries, of which there are few right after a drain
local entries = redis.call('XRANGE', KEYS[1], '-', '+')
redis.call('DEL', KEYS[1])
for _, entry in ipairs(entries) do
    redis.call('XADD', KEYS[1], entry[1], unpack(entry[2]))
end
return #entries
