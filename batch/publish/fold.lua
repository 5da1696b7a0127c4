#!lua
-- Move what a user saw, or liked, from their set into one packed value: read, then write, in two calls.
--
-- KEYS  1 seen:{<user>} or likes:{<user>}   2 the same with :old
-- ARGV  1 the epoch second up to which is moved; then, to write:  2 what was read of the set  3 the packed value,
--       which holds all that was read
-- Reply what the set has up to then, `<post> <second> …`, and the packed value so far, empty for none; of the
--       second call 1, or 0 where the set has changed since it was read: nothing was written
-- Cost  O(n) in the posts read, O(n log n) where later ones stay

local read = redis.call('ZRANGE', KEYS[1], 0, ARGV[1], 'BYSCORE', 'WITHSCORES')
local text = table.concat(read, ' ')
if not ARGV[2] then
    return {text, text ~= '' and redis.call('GET', KEYS[2]) or ''}
end
if text ~= ARGV[2] then
    return 0
end
redis.call('SET', KEYS[2], ARGV[3])
if redis.call('ZCARD', KEYS[1]) * 2 == #read then
    redis.call('UNLINK', KEYS[1])
else
    for i = 1, #read, 2 do
        redis.call('ZREM', KEYS[1], read[i])
    end
end
return 1
