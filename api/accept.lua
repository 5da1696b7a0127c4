#!lua
-- Record a live event once: whoever asks from now on does not get its post, and the batch will drain it.
--
-- KEYS  1 event (the note that it was accepted)  2 events (the stream)  3 forgotten (tombstones of users)
--       4 the key of the tombstones, then those of the user: 5 seen  6 seen, live  7 likes  8 likes, live
--       9 session, where it counts
-- ARGV  1 attempt  2 seconds to remember the event  3 seconds to keep the live sets  4 view or like
--       5 the post's number, empty where it has none yet  6 its id  7 epoch seconds at which it occurred
--       8 the key of the tombstones as the caller knows it, empty for none  9 the user's tombstone by it
--       10 the post's topic, empty where the session does not count  11 seconds after which what counts there
--       counts half  12 seconds to keep it  13 which part: `all`; in a cluster, where the two lie in different
--       slots, `record` with the first 4 keys, then `hide` with `gone` (that they were forgotten just now) and
--       the others
--       14… fields and values of its entry in the stream
-- Reply 1 recorded, by this attempt or an earlier try of the same; 0 recorded before by another attempt;
--       -1 the user was forgotten, -2 the key is another one: nothing was recorded. Of `hide` 1 or -1
-- Cost  O(log n) in the posts that the user has seen, O(n) in the topics of the session, 64 at most
--
-- The note comes last: whatever fails before it can be tried again, and only the note makes a duplicate. To hide
-- twice is to hide once.
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

-- Hide the post from the user, whose keys these are; a like implies that the post was shown.
local function hide(seen, seen_live, likes, likes_live, session)
    local function add(set, live)
        if ARGV[5] ~= '' then
            redis.call('ZADD', set, 'LT', ARGV[7], ARGV[5])
        end
        local is_new = redis.call('ZADD', live, 'LT', ARGV[7], ARGV[6])
        redis.call('EXPIRE', live, ARGV[3])
        return is_new
    end
    local shown, liked = add(seen, seen_live), ARGV[4] == 'like' and add(likes, likes_live) or 0
    -- A post counts as shown once and as liked once, however often it is told; both as of the latest event.
    if ARGV[10] ~= '' and shown + liked > 0 then
        local told = redis.call('HGET', session, ARGV[10])
        if told or redis.call('HLEN', session) < 65 then
            local n_likes, n_shown, last_s = string.match(told or '', COUNTS)
            local at_s = tonumber(ARGV[7])
            last_s = tonumber(last_s) or at_s
            local latest_s = math.max(at_s, last_s)
            local old, new = 2 ^ ((last_s - latest_s) / ARGV[11]), 2 ^ ((at_s - latest_s) / ARGV[11])
            liked = (tonumber(n_likes) or 0) * old + liked * new
            shown = (tonumber(n_shown) or 0) * old + shown * new
            redis.call('HSET', session, ARGV[10], string.format('%.6g %.6g %.0f', liked, shown, latest_s))
            redis.call('HSET', session, '', weigh(redis.call('HGETALL', session), ARGV[11]))
            redis.call('EXPIRE', session, ARGV[12])
        end
    end
end

if ARGV[13] == 'hide' then
    if redis.call('EXISTS', KEYS[1]) == 1 then
        return -1
    end
    hide(unpack(KEYS, 2))
    return 1
end
local key = redis.call('GET', KEYS[4]) or ''
if key ~= ARGV[8] then
    return -2
end
if key ~= '' and redis.call('SISMEMBER', KEYS[3], ARGV[9]) == 1 then
    return -1
end
local attempt = redis.call('GET', KEYS[1])
if attempt then
    return attempt == ARGV[1] and 1 or 0
end
if ARGV[13] == 'all' then
    hide(unpack(KEYS, 5))
end
redis.call('XADD', KEYS[2], '*', unpack(ARGV, 14))
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
