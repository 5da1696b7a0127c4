#!lua
-- Record a live event once: whoever asks from now on does not get its post, and the batch will drain it.
--
-- KEYS  1 event (the note that it was accepted)  2 events (the stream)  3 seen  4 seen, live  5 likes
--       6 likes, live  7 forgotten (tombstones of users)  8 the key of the tombstones
-- ARGV  1 attempt  2 seconds to remember the event  3 seconds to keep the live sets  4 view or like
--       5 the post's number, empty where it has none yet  6 its id  7 epoch seconds at which it occurred
--       8 the key of the tombstones as the caller knows it, empty for none  9 the user's tombstone by it
--       10… fields and values of its entry in the stream
-- Reply 1 recorded, by this attempt or an earlier try of the same; 0 recorded before by another attempt;
--       -1 the user was forgotten, -2 the key is another one: nothing was recorded
-- Cost  O(log n) in the posts that the user has seen
--
-- The note comes last: whatever fails before it can be tried again, and only the note makes a duplicate.
local key = redis.call('GET', KEYS[8]) or ''
if key ~= ARGV[8] then
    return -2
end
if key ~= '' and redis.call('SISMEMBER', KEYS[7], ARGV[9]) == 1 then
    return -1
end
local attempt = redis.call('GET', KEYS[1])
if attempt then
    return attempt == ARGV[1] and 1 or 0
end
-- A like implies that the post was shown.
local last = ARGV[4] == 'like' and 5 or 3
for i = 3, last, 2 do
    if ARGV[5] ~= '' then
        redis.call('ZADD', KEYS[i], 'LT', ARGV[7], ARGV[5])
    end
    redis.call('ZADD', KEYS[i + 1], 'LT', ARGV[7], ARGV[6])
    redis.call('EXPIRE', KEYS[i + 1], ARGV[3])
end
redis.call('XADD', KEYS[2], '*', unpack(ARGV, 10))
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
