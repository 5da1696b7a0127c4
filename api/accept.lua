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
-- Cost  O(log n) in the posts that the user has seen, O(n) in the topics of the session, 64 at most
--
-- The note comes last: whatever fails before it can be tried again, and only the note makes a duplicate.
local COUNTS = '^(%S+) (%S+) (%d+)$'

-- Return the field without a name: what topics weigh as of the latest event, see `weigh` in session.py.
local function weigh(fields, half_life_s)
    local topics, latest_s, all_likes, all_shown = {}, 0, 1, 8
    for i = 1, #fields, 2 do
        local likes, shown, last_s = string.match(fields[i + 1], COUNTS)
        if last_s then
            topics[#topics + 1] = {fields[i], tonumber(likes) or 0, tonumber(shown) or 0, tonumber(last_s)}
            latest_s = math.max(latest_s, tonumber(last_s))
        end
    end
    for _, topic in ipairs(topics) do
        local share = 2 ^ ((topic[4] - latest_s) / half_life_s)
        topic[2], topic[3] = topic[2] * share, topic[3] * share
        all_likes, all_shown = all_likes + topic[2], all_shown + topic[3]
    end
    for i, topic in ipairs(topics) do
        local weight = math.log((topic[2] + 1) / (all_likes / all_shown * topic[3] + 1))
        topics[i] = string.format('%s:%.3f', cjson.encode(topic[1]), math.max(-1, math.min(1, weight)))
    end
    return string.format('[%.0f,{%s}]', latest_s, table.concat(topics, ','))
end

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
    if told or redis.call('HLEN', KEYS[9]) < 65 then
        local n_likes, n_shown, last_s = string.match(told or '', COUNTS)
        local at_s = tonumber(ARGV[7])
        last_s = tonumber(last_s) or at_s
        local latest_s = math.max(at_s, last_s)
        local old, new = 2 ^ ((last_s - latest_s) / ARGV[11]), 2 ^ ((at_s - latest_s) / ARGV[11])
        likes, shown = (tonumber(n_likes) or 0) * old + likes * new, (tonumber(n_shown) or 0) * old + shown * new
        redis.call('HSET', KEYS[9], ARGV[10], string.format('%.6g %.6g %.0f', likes, shown, latest_s))
        redis.call('HSET', KEYS[9], '', weigh(redis.call('HGETALL', KEYS[9]), ARGV[11]))
        redis.call('EXPIRE', KEYS[9], ARGV[12])
    end
end
redis.call('XADD', KEYS[2], '*', unpack(ARGV, 13))
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
