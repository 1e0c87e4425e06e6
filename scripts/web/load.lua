-- wrk's traffic: what a small shop's clients send. Every request carries an id of its own, which the server sends back.
-- No HEAD: wrk waits for the body that its response announces.
local kinds = {
  { weight = 30, method = "GET", path = "/" },
  { weight = 30, method = "GET", path = "/api/items/%d" },
  { weight = 10, method = "GET", path = "/api/search?q=shoes&page=%d&access_token=t0ps3cret" },
  { weight = 10, method = "POST", path = "/api/orders", body = '{"item":%d,"count":1}' },
  { weight = 6, method = "GET", path = "/catalog.json" },
  { weight = 5, method = "GET", path = "/missing/%d" },
  { weight = 3, method = "GET", path = "/login" },
  { weight = 2, method = "GET", path = "/admin" },
}

local thread_number = 0

function setup(thread)
  thread:set("thread_id", thread_number)
  thread_number = thread_number + 1
end

local order, sent = {}, 0
local fields = {
  ["Host"] = "shop.example",
  ["User-Agent"] = "lab/1.0 (wrk)",
  ["Accept"] = "application/json, text/html;q=0.9",
  ["Accept-Encoding"] = "gzip",
  ["Cookie"] = "session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; cart=" .. string.rep("item-4711.", 12),
  ["Authorization"] = "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJsYWIifQ.c2lnbmF0dXJl",
}

function init(args)
  math.randomseed(thread_id + 1)
  for _, kind in ipairs(kinds) do
    for _ = 1, kind.weight do
      order[#order + 1] = kind
    end
  end
end

function request()
  sent = sent + 1
  local kind = order[math.random(#order)]
  local number = math.random(500)
  fields["X-Request-Id"] = string.format("w%d-%d", thread_id, sent)
  local body = kind.body and string.format(kind.body, number)
  fields["Content-Type"] = body and "application/json"
  fields["Content-Length"] = body and #body
  return wrk.format(kind.method, string.format(kind.path, number), fields, body)
end
