#!lua
-- Ask the batch's scheduler for something, where not too much waits already.
--
-- KEYS  1 the queue (a stream)
-- ARGV  1 how many may wait  2 seconds after which the queue is forgotten  3… fields and values of the entry
-- Reply the entry's id; nil: as many wait already, and nothing was asked
-- Cost  O(1)
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[1]) then
    return false
end
local id = redis.call('XADD', KEYS[1], '*', unpack(ARGV, 3))
redis.call('EXPIRE', KEYS[1], ARGV[2])
return id
