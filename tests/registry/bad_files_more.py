"""More files that are wrong, each with every complaint it must give."""
# ruff: noqa: E501 — the messages are compared as they are printed

MORE_BAD_FILES: dict[str, tuple[str, list[str]]] = {
    "aliases": (
        """\
providers: {mock: {type: mock, models: [mock-small]}}
aliases:
  a: b
  b: a
  wrong: mock-smal
  good: mock/mock-small
  far: good
  "with space": mock-small
  hidden: mock-small
routes:
- {name: r, match: {model: [hidden, x]}, targets: [{provider: mock, model: mock-small}]}
""",
        [
            "3:6: the alias `a` leads in a circle (name a model)",
            "4:6: the alias `b` leads in a circle (name a model)",
            "5:10: no route and no provider has a model `mock-smal`; did you mean `mock-small`? (name one that is configured)",
            "8:3: a model name is 1 to 256 printable ASCII characters without spaces (rename it)",
            "11:28: `hidden` is an alias too, so no request gets here by it (remove one of the two)",
        ],
    ),
    "providers misspelt": (
        """\
provders: {mock: {type: mock, models: [mock-small]}}
aliases: {fast: mock-small}
routes:
- name: r
  match: {model: x, team: nobody}
  targets: [{provider: mock, model: mock-small}]
  fallbacks: {context_window: mock/mock-small}
""",
        [
            "1:1: `providers` is missing (add it)",
            "1:1: unknown key `provders`; did you mean `providers`?",
            "5:27: there is no team `nobody` (declare it under `teams`, or correct it)",
        ],
    ),
    "names that are no misspellings": (
        """\
providers: {openai: {type: mock, models: [a]}}
routes:
- {name: r, match: {model: x}, targets: [{provider: nope, model: a}, {provider: opnai, model: a}]}
""",
        [
            "3:53: there is no provider `nope` (declare it under `providers`, or correct it)",
            "3:81: there is no provider `opnai`; did you mean `openai`? (declare it under `providers`, or correct it)",
        ],
    ),
    "what lacks more than a variable": (
        """\
providers: {mock: {type: mock}}
keys:
- secret: ${UNSET}
- name: b
  secret: ${UNSET}
  quotas: [{cost: "${UNSET}"}]
""",
        ["3:3: `name` is missing (add it)", "6:12: `period` is missing (add it)"],
    ),
    "routes that are for nothing, or for everything": (
        """\
providers: {mock: {type: mock, models: [mock-small, s]}}
routes:
- {name: a, targets: [{provider: mock, model: s}]}
- {name: b, default: true, match: {model: x}, targets: [{provider: mock, model: s}]}
- {name: c, default: true, targets: [{provider: mock, model: s}]}
- {name: d, default: true, targets: [{provider: mock, model: s}]}
""",
        [
            "3:3: `match` is missing (add it, or `default: true` for what nothing else is for)",
            "4:3: a default route is for what no `match` is for (remove `match`, or `default`)",
            "5:22: there is a default route already, `b` (only one can be for all the rest)",
            "6:22: there is a default route already, `b` (only one can be for all the rest)",
        ],
    ),
    "flags in every spelling": (
        """\
providers:
  a: {type: mock, models: [m], fetch_models: "no"}
  b: {type: mock, models: [m], fetch_models: "${F:-FALSE}"}
  c: {type: mock, models: [m], fetch_models: "On"}
routes:
- {name: a, match: {model: x}, targets: [{provider: a, model: n}, {provider: b, model: n}, {provider: c, model: n}]}
- {name: b, default: "On", match: {model: x}, targets: [{provider: a, model: m}]}
- {name: c, default: "TRUE", targets: [{provider: a, model: m}]}
- {name: d, default: "Yes", targets: [{provider: a, model: m}]}
- {name: e, default: certainly, targets: [{provider: a, model: m}]}
""",
        [
            "6:63: the provider `a` lists no model `n` (list it there, or correct it)",
            "6:88: the provider `b` lists no model `n` (list it there, or correct it)",
            "7:3: a default route is for what no `match` is for (remove `match`, or `default`)",
            "8:22: there is a default route already, `b` (only one can be for all the rest)",
            "9:22: there is a default route already, `b` (only one can be for all the rest)",
            "10:22: expected true or false",
        ],
    ),
    "conditions and marks of routes": (
        """\
providers: {mock: {type: mock, models: [s, t]}}
routes:
- {name: a, match: {context: {}, size: {above: 5k, up_to: 5000}}, targets: [{provider: mock, model: s}]}
- {name: b, match: {capabilities: sight}, targets: [{provider: mock, model: s}]}
- {name: c, match: {group: []}, min_quality: 0.5, targets: [{provider: mock, model: s, quality: 2}]}
- {name: d, match: {model: x}, min_quality: 0.5, targets: [{provider: mock, model: s}]}
- {name: e, match: {model: x}, min_quality: 0.5, targets: [{provider: mock, model: s, quality: 0.4}]}
- {name: f, match: {model: x}, strategy: sticky, sticky_on: [user, "header:X-A"], targets: [{provider: mock, model: s}]}
""",
        [
            "3:30: a span needs a bound (set `above`, `up_to` or both)",
            "3:40: nothing is within this span (`above` must be smaller than `up_to`)",
            "4:21: this is none of the known words (use one of vision, audio, tools, json_schema)",
            "5:28: there is nothing in it (add an entry)",
            "5:97: the value must be at most 1",
            "6:3: with `min_quality` each target needs a `quality` (add it, or remove `min_quality`)",
            "7:3: no target is as good as `min_quality` (lower it, or raise a `quality`)",
            "8:68: `sticky` goes by `user`, `prompt` or `header:<name>` (write the name in lower case)",
        ],
    ),
    "fallbacks that lead nowhere, or back": (
        """\
providers: {a: {type: mock, models: [m, big]}}
routes:
- {name: x, match: {model: x}, targets: [{provider: a, model: m}], fallbacks: {context_window: y, content_filter: z}}
- {name: y, match: {model: y}, targets: [{provider: a, model: m}], fallbacks: {context_window: x, content_filter: a/bigg}}
- {name: w, match: {model: w}, targets: [{provider: a, model: m}], fallbacks: {context_window: w}}
- {name: v, match: {model: v}, targets: [{provider: a, model: m}], fallbacks: {}}
- {name: u, match: {model: u}, targets: [{provider: a, model: m}], fallbacks: {timeout: w}}
""",
        [
            "3:96: this leads back to where it came from: x → y → x (name another route, or remove it)",
            "3:115: there is no route `z` (name a route, or a model as provider/model)",
            "4:96: this leads back to where it came from: y → x → y (name another route, or remove it)",
            "4:115: the provider `a` lists no model `bigg`; did you mean `big`? (list it there)",
            "5:96: this leads back to where it came from: w → w (name another route, or remove it)",
            "6:79: nothing is named here (set `context_window` or `content_filter`, or remove it)",
            "7:80: unknown key `timeout` (known: context_window, content_filter)",
        ],
    ),
    "hedging, lines and draining out of bounds": (
        """\
providers:
  a: {type: mock, models: [m], queue_timeout: -1, on_disconnect: stay, breaker: 2}
  b: {type: mock, models: [m], queue_timeout: 1h, on_disconnect: {at_once: 0, minutes: 1}}
routes:
- {name: x, match: {model: x}, targets: [{provider: a, model: m}], hedge: {after: p99, max_share: 0}}
- {name: y, match: {model: y}, targets: [{provider: a, model: m}], hedge: {after: 0}}
""",
        [
            "2:47: expected a duration (write seconds, or 500ms, 10s, 5m, 1h)",
            "2:66: expected cancel or drain (or {at_once: 32, seconds: 60}, to drain within other bounds)",
            "2:81: expected true or false",
            "3:47: the value must be at most 600",
            "3:76: the value must be at least 1",
            "3:79: unknown key `minutes` (known: at_once, seconds)",
            "5:83: expected `p95`, or a time above zero such as 500ms",
            "5:99: the value must be above 0",
            "6:83: expected `p95`, or a time above zero such as 500ms",
        ],
    ),
    "bad burst": (
        """\
providers: {mock: {type: mock, models: [mock-small]}}
keys:
- {name: k, secret: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, limits: {requests: {rate: 5/s, burst: 0}, tokens: {rate: 5/s}}}
""",
        [
            "3:74: `burst` must be at least 1",
            "3:105: expected a rate (write 500/min, or {rate: 500/min, burst: 50})",
        ],
    ),
    "unset variables": (
        """\
providers: {m: {type: mock}}
routes:
 - {name: '${NO}', match: {model: '${}'}, targets: [{provider: m, model: '${X'}]}
""",
        [
            "3:11: the variable NO is not set (set it, or write a default: ${NO:-value})",
            "3:35: a `${` is not closed or names no variable (write ${NAME}, or $${ for the text)",
            "3:74: a `${` is not closed or names no variable (write ${NAME}, or $${ for the text)",
        ],
    ),
    "defaults that hold variables": (
        """\
providers:
  a: {type: openai, api_key: "${A:-${B}}"}
  b: {type: openai, api_key: ["${A:-$${B}}", "x-${A:-a${B:-b}}"]}
""",
        [
            "2:30: a default is plain text and cannot hold a `${` (write the value itself, or ${NAME} alone and set that)",
            "3:31: a default is plain text and cannot hold a `${` (write the value itself, or ${NAME} alone and set that)",
            "3:46: a default is plain text and cannot hold a `${` (write the value itself, or ${NAME} alone and set that)",
        ],
    ),
    "parameters that are no defaults": (
        """\
providers:
  a:
    type: mock
    models:
      m: {parameters: {stream: true, temperature: 0, model: n, messages: [], input: x, prompt: y, stop: null}}
""",
        [
            "5:24: `stream` is what each request says itself, and no default (remove it)",
            "5:54: `model` is what each request says itself, and no default (remove it)",
            "5:64: `messages` is what each request says itself, and no default (remove it)",
            "5:78: `input` is what each request says itself, and no default (remove it)",
            "5:88: `prompt` is what each request says itself, and no default (remove it)",
        ],
    ),
    "quotas that switch to the model that they are for": (
        """\
providers: {a: {type: mock, models: [m, n]}}
aliases: {fast: m}
keys:
- {name: k, secret: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, models: [m, fast], quotas: [{period: day, cost: 1, action_on_exceed: {downgrade: fast}}]}
- {name: l, secret: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb, models: [m, n], quotas: [{period: day, cost: 1, action_on_exceed: {downgrade: n}}]}
- {name: j, secret: cccccccccccccccccccccccccccccccc, models: "*", quotas: [{period: day, cost: 1, action_on_exceed: {downgrade: n}}]}
limits:
- {name: a, scope: model, only: m, quotas: [{period: day, cost: 1, action_on_exceed: {downgrade: m}}]}
- {name: b, scope: model, quotas: [{period: day, cost: 1, action_on_exceed: {downgrade: m}}]}
- {name: c, scope: key, only: k, quotas: [{period: day, cost: 1, action_on_exceed: {downgrade: m}}]}
""",
        [
            "4:136: this is the only model that the quota is for, so it would hold nothing back (name another model, or use reject)",
            "8:98: this is the only model that the quota is for, so it would hold nothing back (name another model, or use reject)",
        ],
    ),
    "headers that no request has": (
        """\
providers: {a: {type: mock}}
routes:
- {name: a, match: {headers: {"X Tier": a, "": b, " x-c ": c}}, targets: [{provider: a, model: m}]}
- {name: b, match: {headers: {x-tier: a, X-Tier: b}}, targets: [{provider: a, model: m}]}
- {name: c, match: {headers: {host: a}}, targets: [{provider: a, model: m}]}
""",
        [
            "3:31: this is not a header name (use letters, digits and dashes)",
            "3:44: this is not a header name (use letters, digits and dashes)",
            "3:51: this is not a header name (use letters, digits and dashes)",
            "4:30: two headers differ only in upper and lower case, which is no difference (remove one)",
        ],
    ),
    "plain values that stand for a mapping": (
        """\
providers:
  m:
    type: mock
    timeout: 0
    rate_limit: fast
""",
        [
            "4:5: the value must be above 0",
            "5:5: expected a rate (write a count and a period: 20/s, 500/min, 200k/h, 5M/day)",
        ],
    ),
    "two secrets": (
        """\
providers: {mock: {type: mock, models: [mock-small]}}
keys: [{name: k, secret: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, secret_hash: 0000000000000000000000000000000000000000000000000000000000000000}]
""",
        [
            "2:8: a key has `secret` or `secret_hash`, not both (remove one)",
        ],
    ),
    "a list as secret": (
        """\
providers: {mock: {type: mock, models: [mock-small]}}
keys: [{name: k, secret: [a]}]
""",
        [
            "2:26: expected text (put it in quotes)",
        ],
    ),
    "a number as address": (
        "providers: {c: {type: custom, base_url: 5}}\n",
        [
            "1:41: expected an address (write https://host/path)",
        ],
    ),
    "deployments": (
        """\
providers:
  a: {type: azure, resource: r, api_key: k, deployments: {m: 1}}
""",
        [
            "2:58: expected a mapping of model names to deployment names",
        ],
    ),
    "a quota that downgrades to nothing": (
        """\
providers: {mock: {type: mock, models: [mock-small]}}
teams:
- {name: t, quotas: [{period: day, cost: 1, action_on_exceed: {downgrade: mock/mock-smal}}]}
""",
        [
            "3:75: no route and no provider has a model `mock/mock-smal`; did you mean `mock-small`? (name one that is configured)",
        ],
    ),
    "quotas": (
        """\
zone: Europe/Berln
providers: {mock: {type: mock, models: [mock-small]}}
teams:
- name: t
  quotas:
  - {period: fornight, cost: 1}
  - {period: day, zone: 5, requests: 5, unpriced: allow}
  - {period: day, cost: 1, throttle_to: 5/min}
  - {period: day, cost: 1, action_on_exceed: throttle, throttle_to: 5}
  - {period: day, cost: 1, action_on_exceed: {downgrade: mock-large}, throttle_to: 5/min, unpriced: alow}
  - {period: day, cost: 0, soft: 80, on_store_failure: retry}
  - {period: day, soft: 0.5}
""",
        [
            "1:7: this is no IANA time zone; did you mean `Europe/Berlin`? (write one such as UTC or Europe/Berlin)",
            "6:14: this is none of the known words (use one of minute, hour, day, week, month, year, total)",
            "7:25: this is no IANA time zone (write one such as UTC or Europe/Berlin)",
            "7:41: only a quota of `cost` asks for prices (remove `unpriced`, or set `cost`)",
            "8:28: only `action_on_exceed: throttle` has a rate to throttle to (set it, or remove `throttle_to`)",
            "9:69: expected a rate (write a count and a period: 20/s, 500/min, 200k/h, 5M/day)",
            "10:58: no route and no provider has a model `mock-large`; did you mean `mock-small`? (name one that is configured)",
            "10:71: only `action_on_exceed: throttle` has a rate to throttle to (set it, or remove `throttle_to`)",
            "10:101: this is none of the known words; did you mean `allow`? (use one of refuse, allow)",
            "11:25: the value must be above 0",
            "11:34: the value must be at most 1",
            "11:56: this is none of the known words (use one of open, closed, bounded)",
            "12:5: a quota needs an amount (set `cost`, `tokens` or `requests`)",
        ],
    ),
    "limits of members": (
        """\
providers: {mock: {type: mock, models: [mock-small]}, m2: {type: mock, fetch_models: true}}
keys: [{name: ci, secret: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}]
teams: [{name: research}]
limits:
- {name: a, scope: global, only: [x], requests: 5/s}
- {name: b, scope: user, only: x, requests: 5/s}
- {name: c, scope: team, only: [reserch, nobody-*], requests: 5/s}
- {name: d, scope: key, only: [c1, ci], requests: 5/s}
- {name: e, scope: provider, only: mok, requests: 5/s}
- {name: f, scope: model, only: [mock-smal, gpt*], requests: 5/s}
- {name: g, scope: deployment, only: [mock/mock-smal, mock-small, mock/mock-small, m2/any], requests: 5/s}
- {name: h, scope: model, only: [], requests: 5/s, concurrency: 0}
- {name: i, scope: models, quotas: [{period: day, cost: 5}]}
- {name: j, scope: provider, quotas: [{period: day, cost: 5, action_on_exceed: {downgrade: mock-small}}]}
- {name: k, scope: model, quotas: [{period: day, tokens: 5M, action_on_exceed: {downgrade: mock}}]}
- {name: l, scope: model, quotas: []}
- {scope: team, request: 5/s, on_store_failure: never}
""",
        [
            "5:28: a limit of scope global is for all requests together (remove `only`, or choose another scope)",
            "6:26: a limit of scope user is for every user (remove `only`, or choose another scope)",
            "7:33: there is no team `reserch`; did you mean `research`? (declare it under `teams`, or correct it)",
            "8:32: there is no key `c1` (declare it under `keys`, or correct it)",
            "9:36: there is no provider `mok`; did you mean `mock`? (declare it under `providers`, or correct it)",
            "10:34: no route and no provider has a model `mock-smal`; did you mean `mock-small`? (name one that is configured)",
            "11:39: there is no deployment `mock/mock-smal`; did you mean `mock/mock-small`? (write provider/model as configured)",
            "11:55: there is no deployment `mock-small`; did you mean `mock/mock-small`? (write provider/model as configured)",
            "12:33: there is nothing in it (add an entry)",
            "12:65: the value must be at least 1",
            "13:20: this is none of the known words; did you mean `model`? (use one of global, user, key, team, model, provider, deployment)",
            "14:80: the model is settled before a provider is chosen (use reject: a route goes on to its next target)",
            "15:92: no route and no provider has a model `mock` (name one that is configured)",
            "16:3: a limit limits something (set `requests`, `tokens`, `concurrency` or `quotas`)",
            "17:3: `name` is missing (add it)",
            "17:17: unknown key `request`; did you mean `requests`?",
            "17:49: this is none of the known words (use one of open, closed, bounded)",
        ],
    ),
    "what a key may do": (
        """\
providers: {mock: {type: mock, models: [mock-small]}}
keys:
- {name: a, secret: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, services: [chat, embedings], expires: 2027-02-30}
- {name: b, secret: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb, services: [], expires: 2027}
- {name: c, secret: cccccccccccccccccccccccccccccccc, service: chat, expires: in a year}
""",
        [
            "3:72: this is none of the known words; did you mean `embeddings`? (use one of chat, completions, embeddings, responses, moderations, images, speech, transcription, rerank)",
            "3:93: expected a date or a time (write 2027-01-31, or 2027-01-31T18:00:00Z)",
            "4:65: there is nothing in it (add an entry)",
            "4:78: expected a date or a time (write 2027-01-31, or 2027-01-31T18:00:00Z)",
            "5:55: unknown key `service`; did you mean `services`?",
            "5:79: expected a date or a time (write 2027-01-31, or 2027-01-31T18:00:00Z)",
        ],
    ),
    "alerts": (
        """\
providers: {mock: {type: mock, models: [mock-small]}}
alerts:
  webhook: hooks.example/x
  url: https://hooks.example/x
  headers: {host: x, x-a: 5}
""",
        [
            "3:12: expected an address (write https://host/path or http://host:port/path)",
            "4:3: unknown key `url` (known: webhook, headers, secret, allow_private_network)",
            "5:13: this header belongs to the connection and cannot be set (remove it)",
            "5:27: a header value is one line of ASCII text (put it in quotes)",
        ],
    ),
    "a webhook with a user": (
        """\
providers: {mock: {type: mock, models: [mock-small]}}
alerts: {webhook: "https://u:p@hooks.example/x"}
""",
        [
            "2:19: an address must not hold a user or password (use `api_key` or `headers`)",
        ],
    ),
    "limits of a model, and of a route": (
        """\
providers:
  mock:
    type: mock
    models:
      mock-small: {rate_limit: {request: 5/s, tokens: 0/s}, concurrency_limit: 0, max_output_tokens: 0}
      mock-large: {rate_limit: fast, max_output_tokens: 4.5k}
routes:
- {name: r, match: {model: x}, targets: [{provider: mock, model: mock-small}], max_output_tokens: 0, max_tokens: 5}
""",
        [
            "5:33: unknown key `request`; did you mean `requests`?",
            "5:55: a rate must allow at least 1 (raise it, or remove the limit)",
            "5:80: the value must be at least 1",
            "5:102: the value must be at least 1",
            "6:20: expected a rate (write a count and a period: 20/s, 500/min, 200k/h, 5M/day)",
            "8:99: the value must be at least 1",
            "8:102: unknown key `max_tokens`; did you mean `max_output_tokens`?",
        ],
    ),
    "prices": (
        """\
providers:
  a:
    type: mock
    models:
      m: {price: {}}
      n: {price: {tiers: [{above: 5, input: 1}]}}
      o: {price: {input: .nan, output: .inf, per_unit: -1, tires: []}}
      p: {price: {input: 1, tiers: {above: 5}}}
      q: {price: {input: 1, tiers: [{input: 5}, {above: many, inptu: 1}]}}
      r: {price: {input: 1, tiers: [{above: 5, input: 2}, {above: 5, input: 3}]}}
      s: {price: {input: 1000000, audio_input: x, audio_output: -0.1, tiers: null}}
      t: {price: {per_unit: 1, tiers: [{above: 0, input: 1}]}}
""",
        [
            "5:18: a price needs an amount (write {input: 2.5, output: 10}, or 0 if it is free)",
            "6:18: a price needs an amount (write {input: 2.5, output: 10}, or 0 if it is free)",
            "7:26: expected a number (write digits, such as 2 or 0.5)",
            "7:40: expected a number (write digits, such as 2 or 0.5)",
            "7:56: the value must be at least 0",
            "7:60: unknown key `tires`; did you mean `tiers`?",
            "8:36: expected a list (write `[item, …]`, or in YAML `- item` lines below it)",
            "9:37: `above` is missing (add it)",
            "9:57: expected a count (write a whole number, or 200k, 5M)",
            "9:63: unknown key `inptu`; did you mean `input`?",
            "10:36: two tiers begin `above` the same number of tokens (remove one)",
            "11:26: the value must be at most 100000",
            "11:48: expected a number (write digits, such as 2 or 0.5)",
            "11:65: the value must be at least 0",
            "11:71: there is no value (add one, or remove the key)",
            "12:48: the value must be at least 1",
        ],
    ),
    "missing in a route": (
        """\
providers: {mock: {type: mock, models: [mock-small]}}
routes:
- {name: r, match: {model: x}}
- {match: {model: x}, targets: [{provider: mock}]}
""",
        [
            "3:3: `targets` is missing (add it)",
            "4:3: `name` is missing (add it)",
            "4:33: `model` is missing (add it)",
        ],
    ),
    "health checks": (
        """\
providers:
  a: {type: mock, models: [mock-small], health_check: {call: true, model: mock-smal}}
  b: {type: mock, health_check: {interval: 1, often: true}}
  c: {type: mock, health_check: perhaps}
""",
        [
            "2:75: the provider `a` lists no model `mock-smal`; did you mean `mock-small`? (list it there, or correct it)",
            "3:44: the value must be at least 5",
            "3:47: unknown key `often` (known: enabled, call, model, interval)",
            "4:19: expected true or false",
        ],
    ),
}
