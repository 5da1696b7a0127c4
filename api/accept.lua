#!lua
-- Record a live event once: whoever asks from now on does not get its post, and the batch will drain it.
--
-- KEYS  1 event (the note that it was accepted)  2 events (the stream)  3 seen  4 seen, live  5 likes
--       6 likes, live  7 forgotten (tombstones of users)  8 the key of the tombstones  9 session, where it counts
-- ARGV  1 attempt  2 seconds to remember the event  3 seconds to keep the live sets  4 view or like
--       5 the post's number, empty where it has none yet  6 its id  7 epoch seconds at which it occurred
--       8 the key of the tombstones as the caller knows it, empty for none  9 the user's tombstone by it
--       10 the post's topic, empty where the session does not count  11 seconds after which what counts there
--       counts half  12 seconds to keep it  13… fields and values of its entry in the stream
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
local last, is_new = ARGV[4] == 'like' and 5 or 3, {}
for i = 3, last, 2 do
    if ARGV[5] ~= '' then
        redis.call('ZADD', KEYS[i], 'LT', ARGV[7], ARGV[5])
    end
    is_new[i] = redis.call('ZADD', KEYS[i + 1], 'LT', ARGV[7], ARGV[6])
    redis.call('EXPIRE', KEYS[i + 1], ARGV[3])
end
-- A post counts as shown once and as liked once, however often it is told; both as of the latest event.
local shown, likes = is_new[3], is_new[5] or 0
if ARGV[10] ~= '' and shown + likes > 0 then
    local told = redis.call('HGET', KEYS[9], ARGV[10])
    if told or redis.call('HLEN', KEYS[9]) < 64 then
        local n_likes, n_shown, last_s = string.match(told or '', '^(%S+) (%S+) (%d+)$')
        local at_s = tonumber(ARGV[7])
        last_s = tonumber(last_s) or at_s
        local latest_s = math.max(at_s, last_s)
        local old, new = 2 ^ ((last_s - latest_s) / ARGV[11]), 2 ^ ((at_s - latest_s) / ARGV[11])
        likes, shown = (tonumber(n_likes) or 0) * old + likes * new, (tonumber(n_shown) or 0) * old + shown * new
        redis.call('HSET', KEYS[9], ARGV[10], string.format('%.6g %.6g %.0f', likes, shown, latest_s))
        redis.call('EXPIRE', KEYS[9], ARGV[12])
    end
end
redis.call('XADD', KEYS[2], '*', unpack(ARGV, 13))
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
